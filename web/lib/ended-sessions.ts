/**
 * Trigger that revokes a session's access tokens when its row is deleted, however it is deleted.
 *
 * PostgreSQL adds the session to `public.token_revocations` and notifies the task service, in the transaction that
 * deletes the row: either both happen or neither. Better Auth's own hooks for deleted sessions are not enough. They see
 * at most 100 sessions of a user, do not run if reading the sessions fails, and know nothing of a row that the database
 * deletes together with its user. See docs/decisions/0046-revoke-where-a-session-is-deleted.md.
 */

import type { PoolClient } from "pg";

// Two days is longer than any token lives: a session that expired before has no valid token.
// The entry is kept for as long as the session would have lived, so that web/ refuses the session if a backup brings its
// row back. The table accepts 1 to 400 days. A session that is already in it gets no second entry.
const FUNCTION = `
  CREATE OR REPLACE FUNCTION auth.revoke_ended_sessions() RETURNS trigger
  LANGUAGE plpgsql SET search_path = '' AS $$
  BEGIN
    INSERT INTO public.token_revocations (kind, value, operator, reason, session_lifetime)
    SELECT 'session', id, 'better-auth', 'session deleted',
           least(greatest("expiresAt" - now(), interval '1 day'), interval '400 days')
    FROM ended
    WHERE "expiresAt" > now() - interval '2 days'
      AND NOT EXISTS (SELECT FROM public.token_revocations WHERE kind = 'session' AND value = ended.id);
    IF FOUND THEN
      PERFORM pg_notify('token_revocations', '');
    END IF;
    RETURN NULL;
  END $$`;
const TRIGGER = `
  CREATE TRIGGER revoke_ended_sessions AFTER DELETE ON auth.session
  REFERENCING OLD TABLE AS ended FOR EACH STATEMENT EXECUTE FUNCTION auth.revoke_ended_sessions()`;
const FOUND = `
  SELECT FROM pg_trigger WHERE tgrelid = 'auth.session'::regclass AND tgname = 'revoke_ended_sessions'`;

/** Create the trigger if it is missing, and make its function current. `connection` is in a transaction. */
export async function revokeEndedSessions(connection: PoolClient): Promise<void> {
  await connection.query(FUNCTION);
  const { rowCount } = await connection.query(FOUND);
  // Not CREATE OR REPLACE: it would lock the table at every start.
  if (rowCount === 0) await connection.query(TRIGGER);
}
