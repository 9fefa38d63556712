"""Check that a session that ends at Better Auth is revoked, if its table is in this database."""

from typing import Final

from scripts.operations.check_config.finding import Finding
from service.database.execution import Database, DatabaseUnavailableError
from service.database.statements import Statement

# The catalogs are used because to_regclass needs privileges on the schema.
_IS_REVOKED: Final = Statement(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = c.oid"
    " AND t.tgname = 'revoke_ended_sessions' AND t.tgenabled IN ('O', 'A'))"
    " FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE n.nspname = 'auth' AND c.relname = 'session'"
)


async def check_sessions(database: Database) -> list[Finding]:
    """Look for the trigger of web/. Return no finding if there is no table of sessions."""
    try:
        rows = await database.execute(_IS_REVOKED, {})
    except DatabaseUnavailableError as error:
        said = f"the database cannot be reached any more ({error})"
        return [Finding("sessions", good=False, said=said, cure="run check-config again")]
    return [
        Finding(
            "sessions",
            good=is_revoked,
            said="the tokens of a session that ends at Better Auth are revoked at once"
            if is_revoked
            else "the tokens of a session that ends at Better Auth stay valid until they expire",
            cure="restart web/, which creates the trigger revoke_ended_sessions; if it is there,"
            " enable it",
        )
        for (is_revoked,) in rows
    ]
