/**
 * Better Auth plugin that ends sessions which were revoked at the task service.
 *
 * Every session that Better Auth reads from its table is looked up in `public.token_revocations`, in one query. A
 * revoked session is deleted and not returned, so its caller (`/token`, `/get-session`, any plugin) finds no signed-in
 * user. A session is revoked if its id is listed, or if its user was revoked after the session began. Revoking
 * everyone's tokens ends no session, as `revoke-tokens` documents.
 *
 * If the lookup fails, the read fails: no session is used unchecked. NOT run for a session that is deleted here: the
 * hooks that a plugin may have for deleted sessions.
 */

import { AsyncLocalStorage } from "node:async_hooks";

import type { AuthContext, BetterAuthPlugin } from "better-auth";
import type { Pool } from "pg";

type Reader = Pick<AuthContext["adapter"], "findOne" | "findMany" | "deleteMany">;

interface SessionRow {
  readonly id: string;
  readonly userId: string;
  readonly createdAt: Date;
}

const SESSION = "session";
const REVOKED = `
  SELECT found.id FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS found (id, user_id, created_at)
  WHERE EXISTS (SELECT FROM public.token_revocations WHERE kind = 'session' AND value = found.id)
     OR EXISTS (SELECT FROM public.token_revocations
                WHERE kind = 'subject' AND value = found.user_id AND at >= found.created_at)`;

const UNDECIDED = { message: "Sessions cannot be checked at the moment. Try again shortly.", code: "UNAVAILABLE" };

const attempts = new AsyncLocalStorage<{ failed: boolean }>();

/**
 * Return the response of `handle`, or 503 if a session could not be read meanwhile.
 *
 * On most paths Better Auth itself would answer "not signed in", and clients would discard their session.
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

const guarded = new WeakSet<Reader>();

/** Change `adapter` so that it returns no revoked session. In place: Better Auth keeps references to it. */
function guard(adapter: Reader, database: Pool): void {
  if (guarded.has(adapter)) return;
  guarded.add(adapter);
  const { findOne, findMany } = adapter;

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
    await adapter.deleteMany({ model: SESSION, where: [{ field: "id", operator: "in", value: [...revoked] }] });
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

async function checked<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const attempt = attempts.getStore();
    if (attempt !== undefined) attempt.failed = true;
    throw error;
  }
}
