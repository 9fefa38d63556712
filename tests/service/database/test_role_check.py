"""The service refuses a role that could bypass row-level security, and explains each refusal."""

import asyncio
import secrets

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from service.database.execution import Database
from service.database.url import parse_database_url
from tests.conftest import DatabaseUrls, PostgresServer
from tests.service.database.refused import refused

ROLES = {
    "superuser": "SUPERUSER",
    "bypassing role": "BYPASSRLS",
    "member of the tables' owner": "IN ROLE owner",
    "role that makes roles": "CREATEROLE",
    "role that replicates": "REPLICATION",
    "reader of the server's files": "IN ROLE pg_read_server_files",
    "member of a bypassing role": "IN ROLE {bypassing}",
}


async def test_checks_at_the_same_time_are_one(
    database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = 0
    check_role = Database.check_role

    async def counted(self: Database) -> None:
        nonlocal checks
        checks += 1
        await check_role(self)

    monkeypatch.setattr(Database, "check_role", counted)
    pool = Database(parse_database_url(database.app), pool_size=1)
    first, *others = [asyncio.create_task(pool.check()) for _ in range(40)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(*others)
    assert (checks, first.cancelled()) == (1, True)
    await pool.check()
    assert checks == 2
    await pool.close()


@pytest.mark.parametrize("options", ROLES.values(), ids=ROLES)
async def test_fault12_role_that_could_bypass_row_level_security_is_refused(
    postgres: PostgresServer, database: DatabaseUrls, options: str
) -> None:
    name, bypassing = f"r_{secrets.token_hex(4)}", f"b_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(postgres.superuser_url)
    url = make_url(database.app).set(username=name, password="pw")
    try:
        await admin.execute(f"CREATE ROLE {bypassing} BYPASSRLS")
        await admin.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD 'pw' {options.format(bypassing=bypassing)}"
        )
        await admin.execute(f'GRANT CONNECT ON DATABASE "{url.database}" TO {name}')
        await refused(url.render_as_string(hide_password=False), "migrate --execute --out FILE")
        await admin.execute(f'REVOKE CONNECT ON DATABASE "{url.database}" FROM {name}')
        await admin.execute(f"DROP ROLE {name}")
        await admin.execute(f"DROP ROLE {bypassing}")
    finally:
        await admin.close()


async def test_fault12_owner_of_the_tables_is_refused(database: DatabaseUrls) -> None:
    await refused(database.owner, "role owner owns the table")


async def test_database_without_the_tables_is_refused(
    postgres: PostgresServer,
) -> None:
    urls = await postgres.make_database(f"empty_{secrets.token_hex(4)}")
    await refused(urls.app, "migrate --execute")


@pytest.mark.parametrize(
    ("part", "hint"),
    [
        ({"password": "hunter2"}, "password authentication failed"),
        ({"username": "nobody_here"}, "password authentication failed"),
        ({"database": "nowhere"}, "does not exist"),
    ],
    ids=["password", "role", "database"],
)
async def test_refusal_of_the_database_is_an_error_of_one_line(
    database: DatabaseUrls, part: dict[str, str], hint: str
) -> None:
    url = make_url(database.app).set(**part)  # type: ignore[arg-type] # names of parts of a URL
    await refused(url.render_as_string(hide_password=False), hint)
