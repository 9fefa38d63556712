from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.roles import (
    APP,
    AUTH,
    OWNER,
    PURGE,
    ROLES,
    RolePasswords,
    create_database,
    drop_database,
    provide,
    url_as,
)
from scripts.setup.checkout import CHECKOUT
from service.migrations import roles as migrations
from service.migrations.roles import POWERLESS

PASSWORDS = RolePasswords(app='it\'s: 100% "quoted" \\ / @ ?#')


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres.ephemeral() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
async def provided(server: EmbeddedPostgres) -> None:
    await provide(server.url(), PASSWORDS)


@asynccontextmanager
async def connected(
    server: EmbeddedPostgres, role: str, *, database: str = "resource_server"
) -> AsyncIterator[asyncpg.Connection]:
    password = dict(PASSWORDS.items())[role]
    url = url_as(server.url(), user=role, password=password, database=database)
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.mark.parametrize("role", ROLES)
async def test_role_has_none_of_the_powers_that_bypass_policies(
    server: EmbeddedPostgres, role: str
) -> None:
    async with connected(server, role) as connection:
        powers = await connection.fetchrow(
            "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication, rolinherit"
            " FROM pg_roles WHERE rolname = current_user"
        )
    assert powers is not None
    assert not any(powers.values())


async def test_owner_may_create_tables_where_the_others_may_not(server: EmbeddedPostgres) -> None:
    async with connected(server, OWNER) as connection:
        await connection.execute("CREATE TABLE public.of_owner ()")
    for role in (APP, AUTH):
        async with connected(server, role) as connection:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"CREATE TABLE public.of_{role} ()")


@pytest.mark.parametrize("role", [APP, OWNER])
async def test_better_auths_tables_are_closed_to_the_other_roles(
    server: EmbeddedPostgres, role: str
) -> None:
    async with connected(server, AUTH) as connection:
        # Without naming the schema, like Better Auth.
        await connection.execute("CREATE TABLE IF NOT EXISTS account (secret text)")
        assert await connection.fetchval("SHOW search_path") == "auth"
    async with connected(server, role) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("SELECT secret FROM auth.account")


async def test_role_that_was_not_invited_cannot_connect(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.url())
    await connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    await connection.close()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(url_as(server.url(), user="stranger", password="stranger"))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("database", ["postgres", "template1"])
async def test_role_cannot_connect_to_another_database(
    server: EmbeddedPostgres, role: str, database: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with connected(server, role, database=database):
            pass


@pytest.mark.parametrize("role", [APP, AUTH, PURGE])
async def test_role_cannot_create_temporary_tables(server: EmbeddedPostgres, role: str) -> None:
    async with connected(server, role) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TEMPORARY TABLE rows_of_others ()")


@pytest.mark.parametrize("database", ["resource_server", "a copy"])
async def test_role_app_cannot_create_or_open_large_objects(
    server: EmbeddedPostgres, database: str
) -> None:
    if database == "a copy":
        await create_database(server.url(), database)
    async with connected(server, APP, database=database) as connection:
        for call in (
            "lo_create(0)",
            "lo_creat(-1)",
            "lo_from_bytea(0, 'text')",
            "lo_get(1)",
            "lo_put(1, 0, 'text')",
            "lo_open(1, 131072)",
            "lo_unlink(1)",
            "lowrite(0, 'text')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"SELECT {call}")


def test_sql_and_migrations_name_the_same_roles_and_attributes() -> None:
    sql = (CHECKOUT / "docker" / "postgres" / "cluster.sql").read_text()
    assert f"ARRAY[{', '.join(map(repr, ROLES))}]" in sql
    assert POWERLESS in sql
    assert {*migrations.ROLES, migrations.REVOCATIONS_READER} == {*ROLES} - {OWNER}


async def test_providing_again_takes_back_what_a_role_was_given_meanwhile(
    server: EmbeddedPostgres,
) -> None:
    connection = await asyncpg.connect(server.url())
    await connection.execute("ALTER ROLE app SUPERUSER BYPASSRLS INHERIT PASSWORD 'changed'")
    await connection.execute("GRANT owner TO app")
    await connection.close()
    await provide(server.url(), PASSWORDS)
    async with connected(server, APP) as connection:
        row = await connection.fetchrow(
            "SELECT rolsuper OR rolbypassrls OR rolinherit AS mighty,"
            " pg_has_role('app', 'owner', 'MEMBER') AS member FROM pg_roles WHERE rolname = 'app'"
        )
    assert row is not None
    assert dict(row) == {"mighty": False, "member": False}


async def test_copied_database_has_tables_and_rights_and_stays_closed_to_strangers(
    server: EmbeddedPostgres,
) -> None:
    await create_database(server.url(), "template; --")
    async with connected(server, OWNER, database="template; --") as connection:
        await connection.execute("CREATE TABLE things (); GRANT SELECT ON things TO app")
    await create_database(server.url(), "copy", template="template; --")
    async with connected(server, APP, database="copy") as connection:
        assert await connection.fetch("SELECT FROM things") == []
        public = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_database, aclexplode(datacl) AS acl"
            " WHERE datname = current_database() AND acl.grantee = 0)"
        )
    assert public is False


async def test_dropped_database_is_gone_though_somebody_was_connected(
    server: EmbeddedPostgres,
) -> None:
    await create_database(server.url(), "short_lived")
    async with connected(server, APP, database="short_lived"):
        await drop_database(server.url(), "short_lived")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(server.url("short_lived"))


def test_passwords_are_not_in_a_representation() -> None:
    assert PASSWORDS.owner not in repr(PASSWORDS)
    assert "quoted" not in repr(PASSWORDS)
