"""What all servers share: PostgreSQL with the tasks, and the issuer's key set over HTTP."""

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import asyncpg

from benchmarks import issuer
from benchmarks.priority import put_last
from benchmarks.processes import Tree
from benchmarks.world import World
from better_auth_keys import JWKS_PATH, Signer
from scripts.devstack.leash import leashed
from scripts.devstack.postgres.cluster import let_go
from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.roles import DATABASE, RolePasswords, provide, url_as
from service.database.url import parse_database_url
from service.migrations.runner import upgrade

PEER: Final = "peer"
_COLUMNS: Final = (
    "owner_id",
    "id",
    "title",
    "description",
    "completed",
    "priority",
    "due_at",
    "created_at",
    "updated_at",
    "completed_at",
    "version",
    "deleted_at",
)
_NAMES: Final = ", ".join(_COLUMNS)
_LIKE_REVOCATIONS: Final = "public.like_revocations"
"""Rows in it cost the database what revocations cost, and the service nothing."""
# Row-level security does not bind the peers' role: their owner condition is their only wall.
_PREPARE: Final = (
    f"CREATE TABLE {_LIKE_REVOCATIONS} (LIKE public.token_revocations INCLUDING ALL)",
    f"CREATE ROLE {PEER} LOGIN BYPASSRLS PASSWORD '{{password}}'",
    f"GRANT CONNECT ON DATABASE {DATABASE} TO {PEER}",
    f"GRANT USAGE ON SCHEMA public TO {PEER}",
    f"GRANT SELECT, INSERT, UPDATE ON public.tasks TO {PEER}",
    # It would take the time of the server that is measured just then; every reset vacuums.
    "ALTER SYSTEM SET autovacuum = off",
    "SELECT pg_reload_conf()",
    "CREATE TABLE seed (LIKE public.tasks)",
    "CREATE TABLE heavy_seed (LIKE public.tasks)",
)
# The same pages of the table and its indexes each time, whatever was changed before.
_RESET: Final = (
    "TRUNCATE public.tasks, public.idempotency_keys, public.task_counts",
    f"INSERT INTO public.tasks ({_NAMES}) SELECT {_NAMES} FROM seed",  # noqa: S608 - ours
)
_RESET_HEAVY: Final = f"INSERT INTO public.tasks ({_NAMES}) SELECT {_NAMES} FROM heavy_seed"  # noqa: S608 - ours
_COUNT: Final = """
INSERT INTO public.task_counts (owner_id, live)
SELECT owner_id, count(*) FROM public.tasks WHERE deleted_at IS NULL GROUP BY owner_id
"""

_REVOKE: Final = """
WITH added AS (
    INSERT INTO {table} (kind, value, operator, reason)
    SELECT 'session', $1 || n, 'benchmark', 'benchmark'
    FROM generate_series($2::int, $2::int + 9) AS n RETURNING id
)
SELECT pg_notify('{channel}', id::text) FROM added
"""


class Postgres:
    """A server with a migrated database that holds the world's tasks."""

    def __init__(self, server: EmbeddedPostgres, passwords: RolePasswords) -> None:
        self._server = server
        self._url = url_as(server.url(), user="postgres", password=server.password)
        self._passwords = passwords
        self._state = ""
        self.app_url = url_as(server.url(), user="app", password=passwords.app)
        self.peer_url = url_as(server.url(), user=PEER, password=passwords.app)
        pid = int((server.data / "postmaster.pid").read_text().split()[0])
        self.tree = Tree(pid)

    async def fill(self, world: World, *, heavy: bool) -> None:
        """Migrate the database and write down the tasks that it is reset to."""
        owner = url_as(self._server.url(), user="owner", password=self._passwords.owner)
        await provide(self._server.url(), self._passwords)
        await upgrade(parse_database_url(owner))
        connection = await asyncpg.connect(self._url)
        try:
            for statement in _PREPARE:
                await connection.execute(statement.format(password=self._passwords.app))
            seeds = {"seed": world.rows(), "heavy_seed": world.heavy_rows() if heavy else ()}
            for table, rows in seeds.items():
                await connection.copy_records_to_table(table, records=rows, columns=_COLUMNS)
        finally:
            await connection.close()

    async def reset(self, *, heavy: bool, will_change: bool) -> None:
        """Put all tasks back, unless they are as they should be already."""
        wanted = "heavy" if heavy else "light"
        if self._state != wanted:
            connection = await asyncpg.connect(self._url)
            try:
                for statement in (*_RESET, *([_RESET_HEAVY] if heavy else []), _COUNT):
                    await connection.execute(statement)
                await connection.execute("VACUUM ANALYZE public.tasks")
                await connection.execute("CHECKPOINT")
            finally:
                await connection.close()
        self._state = "" if will_change else wanted

    async def alter(self, settings: Mapping[str, str]) -> None:
        """Change settings of the server that need no restart."""
        connection = await asyncpg.connect(self._url)
        for name, value in settings.items():
            await connection.execute(f"ALTER SYSTEM SET {name} = {value}")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()

    async def announce_keys(self, *, after: float) -> None:
        """Connect, and after so many seconds notify the services of changed keys."""
        connection = await self._connect_last()
        await asyncio.sleep(after)
        await connection.execute("NOTIFY signing_keys")
        await connection.close()

    async def revoke(self, number: int, *, after: float, noticed: bool = True) -> None:
        """Connect, and after so many seconds revoke sessions, ten in a transaction.

        Each has its own notification. If it shall not be `noticed`, the same is written to another
        table, and notified on a channel on which nobody listens.
        """
        table, channel = _LIKE_REVOCATIONS, "nobody"
        if noticed:
            table, channel = "public.token_revocations", "token_revocations"
        statement = _REVOKE.format(table=table, channel=channel)
        connection = await self._connect_last()
        await asyncio.sleep(after)
        run = secrets.token_hex(8)
        for first in range(0, number, 10):
            await connection.execute(statement, run, first)
        await connection.close()

    async def _connect_last(self) -> asyncpg.Connection:
        """Connect to a process of the server that leaves the core to those of the service."""
        connection = await asyncpg.connect(self._url)
        put_last(connection.get_server_pid())
        return connection


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start PostgreSQL."""
    with EmbeddedPostgres.ephemeral() as server:
        yield Postgres(server, RolePasswords())


@contextmanager
def durable_postgres() -> Iterator[Postgres]:
    """Start a PostgreSQL that waits for its disk, as in production."""
    with TemporaryDirectory() as folder:
        home = Path(folder) / "postgres"
        with EmbeddedPostgres.persistent(home, log=Path(folder) / "postgres.log") as server:
            yield Postgres(server, RolePasswords())


@contextmanager
def key_server(*signers: Signer) -> Iterator[str]:
    """Publish the public keys as Better Auth does, and return the issuer's URL."""
    document = json.dumps({"keys": [signer.public_jwk() for signer in signers]})
    program = [sys.executable, "-I", "-S", issuer.__file__, JWKS_PATH, document]
    serving = subprocess.Popen(
        leashed(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert serving.stdout is not None  # noqa: S101 - it is a pipe
    try:
        with serving.stdout as said:
            yield f"http://127.0.0.1:{int(said.readline())}"
    finally:
        let_go(serving)
