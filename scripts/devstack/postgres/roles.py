"""The database's roles, and databases for tests.

- `owner` owns the database and runs the migrations.
- `app` is the service: row-level security binds it, and it has no right on Better Auth's tables.
- `auth` is Better Auth and the operators of its keys: it has its own schema, and no right on users'
  rows.
- `purge` is the command `purge`: it can see and delete expired rows, and nothing else.
- `revocations_reader` is an application that follows the revocations, and can read nothing else.
"""

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from scripts.setup.checkout import CHECKOUT
from service.database.command_connection import connect
from service.database.url import DatabaseUrl, parse_database_url
from service.migrations.roles import scram_verifier

DATABASE: Final = "resource_server"
OWNER: Final = "owner"
APP: Final = "app"
AUTH: Final = "auth"
PURGE: Final = "purge"
REVOCATIONS_READER: Final = "revocations_reader"
ROLES: Final = (OWNER, APP, AUTH, PURGE, REVOCATIONS_READER)
# The compose stack's database runs these files, too.
_SERVER_SQL: Final = CHECKOUT / "docker" / "postgres" / "cluster.sql"
_DATABASE_SQL: Final = CHECKOUT / "docker" / "postgres" / "database.sql"


def _password() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class RolePasswords:
    """A password for each role; random by default."""

    owner: str = field(default_factory=_password, repr=False)
    app: str = field(default_factory=_password, repr=False)
    auth: str = field(default_factory=_password, repr=False)
    purge: str = field(default_factory=_password, repr=False)
    revocations_reader: str = field(default_factory=_password, repr=False)

    def items(self) -> tuple[tuple[str, str], ...]:
        """Return (role, password) for each role."""
        return tuple((role, getattr(self, role)) for role in ROLES)

    def urls(self, server_url: str, database: str = DATABASE) -> dict[str, DatabaseUrl]:
        """Return the URL of the database for each role."""
        return {
            role: parse_database_url(
                url_as(server_url, user=role, password=password, database=database)
            )
            for role, password in self.items()
        }


def url_as(url: str, *, user: str, password: str, database: str = DATABASE) -> str:
    """Return the URL of another role and database on the same server."""
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{where}"
    return parts._replace(netloc=netloc, path=f"/{quote(database, safe='')}").geturl()


async def provide(
    superuser_url: str, passwords: RolePasswords, *, database: str = DATABASE
) -> None:
    """Create or correct the five roles and the database. It can be repeated.

    `superuser_url` names an existing database, usually `postgres`. Raises `DatabaseError`.
    """
    async with connect(parse_database_url(superuser_url), autocommit=True) as connection:
        await _run(connection, _SERVER_SQL)
        for role, password in passwords.items():
            await _execute(connection, "ALTER ROLE %I PASSWORD %L", role, scram_verifier(password))
        exists = text("SELECT EXISTS (SELECT FROM pg_database WHERE datname = :name)")
        if not await connection.scalar(exists, {"name": database}):
            await _execute(connection, f"CREATE DATABASE %I OWNER {OWNER}", database)
    await _restrict_database(superuser_url, database)


async def create_database(superuser_url: str, name: str, *, template: str = DATABASE) -> None:
    """Create a database as a copy of `template`, with its tables, policies and grants.

    An existing database with the name is dropped. The template must have no connections. Raises
    `DatabaseError`.
    """
    async with connect(parse_database_url(superuser_url), autocommit=True) as connection:
        await _execute(connection, "DROP DATABASE IF EXISTS %I WITH (FORCE)", name)
        statement = f"CREATE DATABASE %I OWNER {OWNER} TEMPLATE %I"
        await _execute(connection, statement, name, template)
    # A copy does not include the grants on the database itself.
    await _restrict_database(superuser_url, name)


async def drop_database(superuser_url: str, name: str) -> None:
    """Drop a database, even if it has connections. Raises `DatabaseError`."""
    async with connect(parse_database_url(superuser_url), autocommit=True) as connection:
        await _execute(connection, "DROP DATABASE IF EXISTS %I WITH (FORCE)", name)


async def _restrict_database(superuser_url: str, database: str) -> None:
    url = urlsplit(superuser_url)._replace(path=f"/{quote(database, safe='')}").geturl()
    async with connect(parse_database_url(url), autocommit=True) as connection:
        await _run(connection, _DATABASE_SQL)


async def _run(connection: AsyncConnection, file: Path) -> None:
    """Run a file that contains one statement."""
    await connection.exec_driver_sql(file.read_text(encoding="utf-8"))  # noqa: ASYNC240 - small


async def _execute(connection: AsyncConnection, statement: str, *values: str) -> None:
    """Run a statement that takes no parameters; the server quotes names (%I) and literals (%L)."""
    quote_it = text("SELECT format(:statement, VARIADIC CAST(:values AS text[]))")
    quoted = await connection.scalar(quote_it, {"statement": statement, "values": list(values)})
    # Not text(), which would read a colon in a quoted value as a parameter.
    await connection.exec_driver_sql(str(quoted))
