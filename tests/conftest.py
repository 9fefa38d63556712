"""Fixtures for all tests: a PostgreSQL server with our roles, created for this run."""

import asyncio
import os
import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.roles import (
    RolePasswords,
    create_database,
    drop_database,
    provide,
    url_as,
)
from service.database.url import parse_database_url
from service.migrations.runner import upgrade
from tests.simulators.jwks_table import Issuer

# A shell that runs the suite in the background makes it ignore Ctrl-C. The programs that tests
# interrupt would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class DatabaseUrls:
    """The URLs of one database for each role."""

    owner: str
    app: str
    auth: str
    purge: str
    revocations_reader: str


@dataclass(frozen=True)
class PostgresServer:
    """A server on which tests may do anything."""

    superuser_url: str
    passwords: RolePasswords

    async def make_database(self, name: str) -> DatabaseUrls:
        """Create an empty database with the five roles."""
        await provide(self.superuser_url, self.passwords, database=name)
        return self.urls(name)

    def urls(self, name: str) -> DatabaseUrls:
        """Return a database's URL for each role."""
        return DatabaseUrls(
            **{
                role: url_as(self.superuser_url, user=role, password=password, database=name)
                for role, password in self.passwords.items()
            }
        )


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server behind TEST_DATABASE_URL (a superuser's) or one of our own, never DATABASE_URL's.

    The roles of a given server get new passwords.
    """
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield PostgresServer(given, RolePasswords())
        return
    with EmbeddedPostgres.ephemeral(in_memory=True) as server:
        yield PostgresServer(server.url(), RolePasswords())


@pytest.fixture(scope="session")
def database(postgres: PostgresServer) -> Iterator[DatabaseUrls]:
    """A migrated database. Tests stay independent by using their own owners."""
    name = f"test_{secrets.token_hex(4)}"
    urls = asyncio.run(postgres.make_database(name))
    asyncio.run(upgrade(parse_database_url(urls.owner)))
    yield urls
    asyncio.run(drop_database(postgres.superuser_url, name))


@pytest.fixture(scope="session")
def issuer_template(postgres: PostgresServer) -> Iterator[str]:
    """A migrated database with Better Auth's empty table of keys. Tests use copies of it."""
    name = f"issuer_{secrets.token_hex(4)}"

    async def make() -> None:
        urls = await postgres.make_database(name)
        await upgrade(parse_database_url(urls.owner))
        await Issuer(urls.auth).make_table()

    asyncio.run(make())
    yield name
    asyncio.run(drop_database(postgres.superuser_url, name))


@pytest.fixture
def issuer_database(postgres: PostgresServer, issuer_template: str) -> Iterator[DatabaseUrls]:
    """A copy of `issuer_template` for one test."""
    name = f"{issuer_template}_{secrets.token_hex(3)}"
    asyncio.run(create_database(postgres.superuser_url, name, template=issuer_template))
    yield postgres.urls(name)
    asyncio.run(drop_database(postgres.superuser_url, name))
