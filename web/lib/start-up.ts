import { getMigrations } from "better-auth/db/migration";
import type { PoolClient } from "pg";

import { auth } from "./auth";
import { database } from "./database";
import { revokeEndedSessions } from "./ended-sessions";
import { EnvironmentError, environment } from "./environment";

const DATABASE_PATIENCE_SECONDS = 30;
const LOCK_PATIENCE_SECONDS = 60;

/** A reason not to start. Each line says what is wrong and what to do. */
class StartUpError extends Error {
  constructor(readonly lines: readonly string[]) {
    super(lines.join("\n"));
  }
}

/**
 * Check the settings, start tracing if it is set up, migrate Better Auth's tables, create the trigger that revokes ended
 * sessions, and make sure that a signing key exists.
 *
 * On failure, end the process with status 1: a server that stayed up would answer every request with an error.
 */
export async function startUp(): Promise<void> {
  try {
    checkEnvironment();
    await traceIfWanted();
    await prepareDatabase();
  } catch (error) {
    const lines = error instanceof StartUpError ? error.lines : [`cannot start: ${describe(error)}`];
    for (const line of lines) console.error(`web: ${line}`);
    process.exit(1);
  }
}

function checkEnvironment(): void {
  try {
    environment();
  } catch (error) {
    throw error instanceof EnvironmentError ? new StartUpError(error.problems) : error;
  }
}

/** Load OpenTelemetry's SDK and start it, but only if there is a collector. */
async function traceIfWanted(): Promise<void> {
  const { tracing } = environment();
  if (tracing === undefined) return;
  const { startTracing } = await import("./tracing");
  startTracing(tracing);
}

async function prepareDatabase(): Promise<void> {
  const connection = await connectPatiently();
  try {
    await checkSchema(connection);
    await checkRevocations(connection);
    // A transaction-level lock, because behind a transaction pooler a session-level lock would never be released.
    await connection.query("BEGIN");
    await connection.query(`SET LOCAL lock_timeout = '${LOCK_PATIENCE_SECONDS}s'`);
    await connection.query("SELECT pg_advisory_xact_lock(hashtextextended('better-auth start-up', 0))");
    const { runMigrations } = await getMigrations(auth().options);
    await runMigrations();
    // Creates the first key if there is none. Without the lock, instances that start together would create one each.
    await auth().api.getJwks();
    await revokeEndedSessions(connection);
    await connection.query("COMMIT");
  } finally {
    // true: close the connection instead of reusing it, so that a failed transaction cannot stay in the pool.
    connection.release(true);
  }
}

/** Connect. Wait for a database that is still starting, but give up at once if it refuses the connection. */
async function connectPatiently(): Promise<PoolClient> {
  const deadline = Date.now() + DATABASE_PATIENCE_SECONDS * 1000;
  for (let attempt = 1; ; attempt++) {
    try {
      return await database().connect();
    } catch (error) {
      if (isRefusal(error)) {
        throw new StartUpError([`the database refused the connection (${describe(error)}): correct AUTH_DATABASE_URL`]);
      }
      if (Date.now() > deadline) {
        throw new StartUpError([
          `no database answered for ${DATABASE_PATIENCE_SECONDS} s (${describe(error)}): start PostgreSQL, or correct AUTH_DATABASE_URL`,
        ]);
      }
      if (attempt === 1) console.warn(`web: waiting for the database (${describe(error)})`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

async function checkSchema(connection: PoolClient): Promise<void> {
  const { rows } = await connection.query<{ role: string; schema: string | null }>(
    "SELECT current_user AS role, current_schema() AS schema",
  );
  const { role, schema } = rows[0] ?? { role: "?", schema: null };
  if (schema === "auth") return;
  throw new StartUpError([
    `role ${role} works in ${schema === null ? "no schema" : `schema ${schema}`}, not in schema auth: ` +
      `as its owner run CREATE SCHEMA IF NOT EXISTS auth AUTHORIZATION ${role}; ALTER ROLE ${role} SET search_path = auth`,
  ]);
}

/** Check that revoked sessions can be looked up and added. Otherwise Better Auth could neither use nor end a session. */
async function checkRevocations(connection: PoolClient): Promise<void> {
  const { rows } = await connection.query<{ usable: boolean | null }>(
    `SELECT has_table_privilege(revocations, 'SELECT') AND bool_and(has_column_privilege(revocations, written, 'INSERT'))
              AS usable
     FROM to_regclass('public.token_revocations') AS revocations,
          unnest(ARRAY['kind', 'value', 'operator', 'reason', 'session_lifetime']) AS written
     WHERE revocations IS NOT NULL GROUP BY revocations`,
  );
  if (rows[0]?.usable === true) return;
  throw new StartUpError([
    `role auth cannot read and add rows of the table public.token_revocations, or it is missing: ` +
      `run migrate --execute on this database`,
  ]);
}

/** Return whether the server refused the password, role or database name, as opposed to being unreachable. */
function isRefusal(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && (code.startsWith("28") || code === "3D000");
}

/** Describe an error without its stack or the connection string. */
function describe(error: unknown): string {
  const code = codeOf(error);
  const message = error instanceof Error ? error.message.split("\n", 1)[0] : "";
  return [message, code].filter(Boolean).join(", ") || "unknown error";
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
