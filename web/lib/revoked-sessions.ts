/**
 * Better Auth plugin that ends sessions which were revoked at the task service, and reports if one could not be ended.
 *
 * Every session that Better Auth reads from its table is looked up in `public.token_revocations`, in one query. A
 * revoked session is deleted and not returned, so its caller (`/token`, `/get-session`, any plugin) finds no signed-in
 * user. A session is revoked if its id is listed, or if its user was revoked after the session began. Revoking
 * everyone's tokens ends no session, as `revoke-tokens` documents.
 *
 * If the lookup fails, the read fails: no session is used unchecked. NOT run for a session that is deleted here: the
 * hooks that a plugin may have for deleted sessions.
 *
 * Where a session is deleted, the trigger of `ended-sessions.ts` revokes its tokens. If that fails, the session is kept
 * and the caller gets 503. Better Auth's own sign-out would answer 200.
 */

import { AsyncLocalStorage } from "node:async_hooks";

import type { AuthContext, BetterAuthPlugin } from "better-auth";
import type { Pool } from "pg";

type Adapter = Pick<AuthContext["adapter"], "findOne" | "findMany" | "delete" | "deleteMany">;

interface SessionRow {
  readonly id: string;
  readonly userId: string;
  readonly createdAt: Date;
}

const SESSION = "session";
// The database deletes a user's sessions together with the user.
const DELETES_SESSIONS = [SESSION, "user"];
const REVOKED = `
  SELECT found.id FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS found (id, user_id, created_at)
  WHERE EXISTS (SELECT FROM public.token_revocations WHERE kind = 'session' AND value = found.id)
     OR EXISTS (SELECT FROM public.token_revocations
                WHERE kind = 'subject' AND value = found.user_id AND at >= found.created_at)`;

const UNDECIDED = {
  message: "Sessions cannot be checked or ended at the moment. Try again shortly.",
  code: "UNAVAILABLE",
};

const attempts = new AsyncLocalStorage<{ failed: boolean }>();

/**
 * Return the response of `handle`, or 503 if a session could not be read or deleted meanwhile.
 *
 * On most paths Better Auth itself would answer "not signed in" or "signed out", and clients would discard their session.
 */
export async function refuseWhenUndecided(handle: () => Promise<Response>): Promise<Response> {
  const attempt = { failed: false };
  const response = await attempts.run(attempt, handle);
  if (!attempt.failed) return response;
  return Response.json(UNDECIDED, { status: 503, headers: { "Retry-After": "1", "Cache-Control": "no-store" } });
}

/** Create the plugin; `database` reaches the service's table of revocations. */
export function revokedSessions(database: Pool): BetterAuthPlugin {
  return {
    id: "revoked-sessions",
    init({ adapter, options }) {
      if (options.session?.cookieCache?.enabled || options.secondaryStorage) {
        throw new Error("revoked-sessions: sessions must be read from the database, not from a cookie or a cache");
      }
      guard(adapter, database);
      const { transaction } = adapter;
      adapter.transaction = (work) =>
        transaction((inner) => {
          guard(inner, database);
          return work(inner);
        });
    },
  };
}

const guarded = new WeakSet<Adapter>();

/**
 * Change `adapter` so that it returns no revoked session, and so that a failed deletion is known to
 * `refuseWhenUndecided`. In place: Better Auth keeps references to it.
 */
function guard(adapter: Adapter, database: Pool): void {
  if (guarded.has(adapter)) return;
  guarded.add(adapter);
  const { findOne, findMany, delete: deleteOne, deleteMany } = adapter;

  adapter.findOne = async <T>(query: Parameters<typeof findOne>[0]) => {
    if (query.model !== SESSION) return findOne<T>(query);
    return checked(async () => {
      const found = await findOne<T>(query);
      return found === null ? null : ((await withoutRevoked([found]))[0] ?? null);
    });
  };

  adapter.findMany = async <T>(query: Parameters<typeof findMany>[0]) => {
    if (query.model !== SESSION) return findMany<T>(query);
    return checked(async () => withoutRevoked(await findMany<T>(query)));
  };

  adapter.delete = async (query) => {
    if (!DELETES_SESSIONS.includes(query.model)) return deleteOne(query);
    return checked(() => deleteOne(query));
  };

  adapter.deleteMany = async (query) => {
    if (!DELETES_SESSIONS.includes(query.model)) return deleteMany(query);
    return checked(() => deleteMany(query));
  };

  async function withoutRevoked<T>(found: T[]): Promise<T[]> {
    if (found.length === 0) return found;
    const sessions = found.map(asSession);
    const { rows } = await database.query<{ id: string }>(REVOKED, [
      sessions.map(({ id }) => id),
      sessions.map(({ userId }) => userId),
      sessions.map(({ createdAt }) => createdAt),
    ]);
    if (rows.length === 0) return found;
    const revoked = new Set(rows.map(({ id }) => id));
    await deleteMany({ model: SESSION, where: [{ field: "id", operator: "in", value: [...revoked] }] });
    return found.filter((_, index) => !revoked.has(sessions[index]?.id ?? ""));
  }
}

/** Return the columns that decide whether a session is revoked. Throw an error if a query left one out. */
function asSession(row: unknown): SessionRow {
  const { id, userId, createdAt } = row as Partial<SessionRow>;
  if (typeof id === "string" && typeof userId === "string" && createdAt instanceof Date) {
    return { id, userId, createdAt };
  }
  throw new Error("revoked-sessions: a session was read without its id, user or time of creation");
}

/** Return the result of `work`. If it fails, note this for `refuseWhenUndecided`. */
async function checked<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const attempt = attempts.getStore();
    if (attempt !== undefined) attempt.failed = true;
    throw error;
  }
}
