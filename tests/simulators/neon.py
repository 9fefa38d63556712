"""A new Neon database: an owner that is not a superuser, TLS, two host names, none of our roles.

Not simulated: Neon's control plane, and that Neon refuses SCRAM verifiers instead of passwords.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

from scripts.devstack.postgres.embedded import EmbeddedPostgres
from tests.simulators.postgres_tls import PostgresTls, postgres_tls
from tests.simulators.tls import make_authority

DIRECT = "ep-cool-1.eu-central-1.aws.neon.tech"
POOLED = "ep-cool-1-pooler.eu-central-1.aws.neon.tech"
_PASSWORD = "npg_0 w/n@r"
_OWNER = f"""
CREATE ROLE neon_superuser NOLOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS;
CREATE ROLE neondb_owner LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS IN ROLE neon_superuser
    PASSWORD '{_PASSWORD}';
"""
_getaddrinfo: Any = socket.getaddrinfo


@dataclass
class Neon:
    """A server with only what the provider created."""

    server: EmbeddedPostgres
    front: PostgresTls
    authority: Path

    @property
    def console(self) -> str:
        """The URL that Neon's console shows."""
        where = f"neondb_owner:{quote(_PASSWORD, safe='')}@{POOLED}:{self.front.port}/neondb"
        return f"postgresql://{where}?sslmode=require&channel_binding=require"

    def use(self, patch: pytest.MonkeyPatch) -> None:
        """Resolve its names, trust its certificate, and make it the database of `migrate`."""

        def resolve(host: object, *others: Any, **named: Any) -> object:
            here = "127.0.0.1" if str(host).endswith(".neon.tech") else host
            return _getaddrinfo(here, *others, **named)

        patch.setattr("socket.getaddrinfo", resolve)
        patch.setenv("SSL_CERT_FILE", str(self.authority))
        patch.setenv("MIGRATION_DATABASE_URL", self.console)


@contextmanager
def provider(folder: Path) -> Iterator[Neon]:
    authority = make_authority(folder, DIRECT, POOLED)
    with (
        EmbeddedPostgres.ephemeral(in_memory=True) as server,
        postgres_tls(server.port, authority.context) as front,
    ):
        run(server.url(), _OWNER, "CREATE DATABASE neondb OWNER neondb_owner", "SELECT 1")
        yield Neon(server, front, authority.file)


def run(url: str, *statements: str) -> list[asyncpg.Record]:
    """Execute statements, and return the rows of the last one."""

    async def connect_and_run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetch(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(connect_and_run())


def urls_in(file: Path) -> dict[str, str]:
    """Return the settings that `migrate --out` wrote."""
    lines = file.read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}
