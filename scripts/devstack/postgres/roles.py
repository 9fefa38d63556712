"""The database's roles, and databases for tests.

- `owner` owns the database and runs the migrations.
- `app` is the service: bound by row-level security, without any right on Better Auth's tables.
- `auth` is Better Auth and the operators of its keys: at home in a schema of its own, without any
  right on users' rows.
- `purge` is the operators' purge: it sees and deletes what is past restoring, and nothing else.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from scripts.devstack.postgres.files import CHECKOUT
from service.database.url import parse_database_url
from service.migrations.roles import scram_verifier

DATABASE: Final = "resource_server"
OWNER: Final = "owner"
APP: Final = "app"
AUTH: Final = "auth"
PURGE: Final = "purge"
ROLES: Final = (OWNER, APP, AUTH, PURGE)
_CONNECT_SECONDS: Final = 10
# The same files that make the roles and rights of the compose stack's database.
_OF_THE_SERVER: Final = CHECKOUT / "docker" / "postgres" / "cluster.sql"
_OF_A_DATABASE: Final = CHECKOUT / "docker" / "postgres" / "database.sql"


class RolesError(Exception):
    """Roles or databases could not be made; the message is one line, without the URL."""


def _password() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class RolePasswords:
    """A password for each role; random where not given."""

    owner: str = field(default_factory=_password, repr=False)
    app: str = field(default_factory=_password, repr=False)
    auth: str = field(default_factory=_password, repr=False)
    purge: str = field(default_factory=_password, repr=False)

    def items(self) -> tuple[tuple[str, str], ...]:
        """Give (role, password) for each role."""
        return tuple(zip(ROLES, (self.owner, self.app, self.auth, self.purge), strict=True))


def url_as(url: str, *, user: str, password: str, database: str = DATABASE) -> str:
    """Turn a server's URL into that of another role and database on the same server."""
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{where}"
    return parts._replace(netloc=netloc, path=f"/{quote(database, safe='')}").geturl()


async def provide(
    superuser_url: str, passwords: RolePasswords, *, database: str = DATABASE
) -> None:
    """Create or correct the four roles and the database; doing it again changes nothing.

    `superuser_url` names a database that is there already, usually `postgres`. Raises `RolesError`.
    """
    async with _connected(superuser_url) as connection:
        await _run(connection, _OF_THE_SERVER)
        for role, password in passwords.items():
            await _execute(connection, "ALTER ROLE %I PASSWORD %L", role, scram_verifier(password))
        if not await _exists(connection, "pg_database", "datname", database):
            await _execute(connection, f"CREATE DATABASE %I OWNER {OWNER}", database)
    await _restrict_database(superuser_url, database)


async def create_database(superuser_url: str, name: str, *, template: str = DATABASE) -> None:
    """Create a database as a copy of `template`, tables, policies and grants included.

    Nobody may be connected to the template meanwhile. An existing database of that name goes.
    Raises `RolesError`.
    """
    async with _connected(superuser_url) as connection:
        await _execute(connection, "DROP DATABASE IF EXISTS %I WITH (FORCE)", name)
        statement = f"CREATE DATABASE %I OWNER {OWNER} TEMPLATE %I"
        await _execute(connection, statement, name, template)
    # A copy does not take over what was granted on its template itself.
    await _restrict_database(superuser_url, name)


async def drop_database(superuser_url: str, name: str) -> None:
    """Drop a database, whoever is still connected to it. Raises `RolesError`."""
    async with _connected(superuser_url) as connection:
        await _execute(connection, "DROP DATABASE IF EXISTS %I WITH (FORCE)", name)


async def _restrict_database(superuser_url: str, database: str) -> None:
    async with _connected(_same_user(superuser_url, database)) as connection:
        await _run(connection, _OF_A_DATABASE)


async def _run(connection: AsyncConnection, file: Path) -> None:
    """Run a file that holds one statement."""
    await connection.exec_driver_sql(_text_of(file))


def _text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8")


async def _exists(connection: AsyncConnection, catalog: str, column: str, name: str) -> bool:
    query = text(f"SELECT EXISTS (SELECT FROM {catalog} WHERE {column} = :name)")  # noqa: S608 - ours
    return bool(await connection.scalar(query, {"name": name}))


async def _execute(connection: AsyncConnection, statement: str, *values: str) -> None:
    """Run a statement that takes no parameters; the server itself quotes names (%I), texts (%L)."""
    quote_it = text("SELECT format(:statement, VARIADIC CAST(:values AS text[]))")
    quoted = await connection.scalar(quote_it, {"statement": statement, "values": list(values)})
    # Not as text(): it would take a colon in a quoted value for a parameter.
    await connection.exec_driver_sql(str(quoted))


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncConnection]:
    parsed = parse_database_url(url)
    engine = create_async_engine(
        parsed.url,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",  # databases are not made in transactions
        hide_parameters=True,
        connect_args={**parsed.connect_args(), "timeout": _CONNECT_SECONDS},
    )
    try:
        async with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        raise RolesError(str(error.orig).partition("\n")[0]) from error
    except (OSError, TimeoutError) as error:
        raise RolesError(f"cannot reach the database ({type(error).__name__})") from error
    finally:
        await engine.dispose()


def _same_user(url: str, database: str) -> str:
    return urlsplit(url)._replace(path=f"/{quote(database, safe='')}").geturl()
