/**
 * The deletion of an account, in two halves: first the user's data at the task service, then the account here.
 *
 * 1. Better Auth's `POST /delete-user` calls `deleteAccount` before it deletes anything. If the service does not
 *    confirm, the request is refused with 503, and the account stays as it was.
 * 2. The service revokes the user. From then on, every earlier session of the user counts as ended here as well.
 * 3. If the second half fails, the user signs in again and repeats the request. The service confirms a deletion even
 *    if nothing is left to delete.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { APIError } from "better-auth/api";
import type { Pool } from "pg";

import { tracedCall } from "./traced-call";

const PATIENCE_MILLISECONDS = 10_000;
const RETRY_AFTER_SECONDS = 5;
/** How long the token for the call is valid. It is used at once; the rest is for clocks that differ. */
const TOKEN_SECONDS = 60;
const NEXT_SECOND_MILLISECONDS = 1_050;
// Better Auth deletes sessions, accounts and the user in this order, each in a transaction of its own. If it failed
// before the last one, the user would have no password, and could neither sign in nor repeat the request. One statement
// deletes all of them (ON DELETE CASCADE) or none. Better Auth finds nothing left, and runs no hooks for these rows.
const DELETE_USER = 'DELETE FROM "user" WHERE id = $1';

const REFUSED = {
  code: "TASK_SERVICE_UNAVAILABLE",
  message:
    "Your account was not deleted, because the task service did not confirm that your tasks were deleted." +
    " Try again in a moment.",
};

/** The claims of a token for one call. The plugin that signs it adds issuer and audience. */
export interface CallClaims {
  readonly sub: string;
  readonly iat: number;
  readonly exp: number;
}

/** What `deleteAccount` needs. `sign` signs the token for the call, and `database` has Better Auth's tables. */
export interface Means {
  readonly serviceOrigin: string;
  readonly database: Pool;
  readonly sign: (claims: CallClaims) => Promise<string>;
}

/**
 * Delete a user's data at the task service, which also ends the user's sessions, and then the user here.
 *
 * Throw an APIError with status 503 if the service does not confirm. Then nothing was deleted here.
 */
export async function deleteAccount(userId: string, { serviceOrigin, database, sign }: Means): Promise<void> {
  const request = async () => requestDeletion(serviceOrigin, await sign(claimsOf(userId)));
  let result = await request();
  if (result === 401) {
    // `iat` has whole seconds, so an earlier deletion in the same second also revoked this token.
    await sleep(NEXT_SECOND_MILLISECONDS);
    result = await request();
  }
  // Exactly this status: a proxy without an upstream may answer 200.
  if (result !== 204) {
    console.warn(`web: an account was not deleted, because the task service did not confirm (${result})`);
    throw new APIError("SERVICE_UNAVAILABLE", REFUSED, { "Retry-After": String(RETRY_AFTER_SECONDS) });
  }
  await database.query(DELETE_USER, [userId]);
}

function claimsOf(userId: string): CallClaims {
  const now = Math.floor(Date.now() / 1000);
  return { sub: userId, iat: now, exp: now + TOKEN_SECONDS };
}

/** Return the status of the service's response, or the name of the error if there was none. */
async function requestDeletion(serviceOrigin: string, token: string): Promise<number | string> {
  try {
    const { status } = await tracedCall("DELETE", "/api/auth/me", (headers) =>
      fetch(`${serviceOrigin}/api/auth/me`, {
        method: "DELETE",
        headers: { ...headers, Authorization: `Bearer ${token}` },
        cache: "no-store",
        redirect: "manual",
        signal: AbortSignal.timeout(PATIENCE_MILLISECONDS),
      }),
    );
    return status;
  } catch (error) {
    return error instanceof Error ? error.name : "error";
  }
}
