"""`check-config` looks for the trigger that revokes the sessions that end at Better Auth."""

import pytest

from scripts.operations.check_config.finding import Finding
from scripts.operations.check_config.sessions import check_sessions
from service.database.execution import Database
from service.database.url import parse_database_url
from tests.conftest import DatabaseUrls
from tests.simulators.jwks_table import connected

TABLE = "CREATE TABLE session (id text);"
TRIGGER = f"""
{TABLE}
CREATE FUNCTION ended() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER revoke_ended_sessions AFTER DELETE ON session EXECUTE FUNCTION ended();
"""
DISABLED = f"{TRIGGER} ALTER TABLE session DISABLE TRIGGER revoke_ended_sessions"


async def found(urls: DatabaseUrls, statements: str) -> list[Finding]:
    async with connected(urls.auth) as connection:
        await connection.execute(statements)
    database = Database(parse_database_url(urls.app), pool_size=1)
    try:
        return await check_sessions(database)
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("statements", "good"),
    [(TABLE, False), (TRIGGER, True), (DISABLED, False)],
    ids=["missing", "there", "disabled"],
)
async def test_table_of_sessions_must_have_the_trigger(
    issuer_database: DatabaseUrls, statements: str, *, good: bool
) -> None:
    (finding,) = await found(issuer_database, statements)
    assert (finding.check, finding.good) == ("sessions", good)
    assert "revoke_ended_sessions" in finding.cure


async def test_better_auth_in_another_database_is_not_judged(
    issuer_database: DatabaseUrls,
) -> None:
    assert await found(issuer_database, "SELECT 1") == []
