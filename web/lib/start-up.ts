import { getMigrations } from "better-auth/db/migration";
import type { PoolClient } from "pg";

import { auth } from "./auth";
import { database } from "./database";
import { environment, EnvironmentError } from "./environment";

const DATABASE_PATIENCE_SECONDS = 30;
const LOCK_PATIENCE_SECONDS = 60;

/** A reason not to start: each line says what is wrong and what to do. */
class StartUpError extends Error {
  constructor(readonly lines: readonly string[]) {
    super(lines.join("\n"));
  }
}

/**
 * Check the settings, bring Better Auth's tables up to date and see to it that there is a signing key.
 *
 * Ends the process with status 1 when it cannot: a server that stayed up would answer every request with an error.
 */
export async function startUp(): Promise<void> {
  try {
    checkEnvironment();
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

async function prepareDatabase(): Promise<void> {
  const connection = await connectPatiently();
  try {
    await checkSchema(connection);
    await checkRevocations(connection);
    // In a transaction, for a lock held by the session would outlive its use behind a transaction pooler.
    await connection.query("BEGIN");
    await connection.query(`SET LOCAL lock_timeout = '${LOCK_PATIENCE_SECONDS}s'`);
    await connection.query("SELECT pg_advisory_xact_lock(hashtextextended('better-auth start-up', 0))");
    const { runMigrations } = await getMigrations(auth().options);
    await runMigrations();
    // Mints the first key when there is none. Instances that started together would otherwise mint one each.
    await auth().api.getJwks();
    await connection.query("COMMIT");
  } finally {
    // true: closed rather than given back, so that a failed transaction cannot linger in the pool.
    connection.release(true);
  }
}

/** Connect, waiting a while for a database that is still starting; a refusal is final at once. */
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

/** Check that revoked sessions can be looked up: Better Auth would otherwise refuse every session. */
async function checkRevocations(connection: PoolClient): Promise<void> {
  const { rows } = await connection.query<{ readable: boolean | null }>(
    "SELECT has_table_privilege(to_regclass('public.token_revocations'), 'SELECT') AS readable",
  );
  if (rows[0]?.readable === true) return;
  throw new StartUpError([
    "the table public.token_revocations is missing or cannot be read: run migrate --execute on this database",
  ]);
}

/** Tell a wrong password, role or database name from a server that cannot be reached yet. */
function isRefusal(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && (code.startsWith("28") || code === "3D000");
}

/** Name an error without its stack or the connection string. */
function describe(error: unknown): string {
  const code = codeOf(error);
  const message = error instanceof Error ? error.message.split("\n", 1)[0] : "";
  return [message, code].filter(Boolean).join(", ") || "unknown error";
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}
