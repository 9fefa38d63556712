"""The database of the drills, as its superuser: for the comparison, and for what goes wrong."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection

from scripts.proofs.drills.system.ledger import Row
from service.database.command_connection import connect
from service.database.url import parse_database_url

_ROWS: Final = """
SELECT owner_id, id::text, description, title, version, deleted_at IS NOT NULL
FROM public.tasks WHERE owner_id = ANY ($1::text[])
"""
_ADD: Final = """
INSERT INTO public.tasks
    (owner_id, id, title, completed, priority, created_at, updated_at, version)
SELECT owner, gen_random_uuid(), 'Task ' || number, false, 1, now(), now(), 1
FROM unnest($1::text[]) AS owner, generate_series(1, $2::int) AS number
"""
_REVOKE: Final = """
WITH added AS (
    INSERT INTO public.token_revocations (kind, value, operator, reason)
    VALUES ('session', $1, 'drills', 'a drill') RETURNING id
)
SELECT pg_notify('token_revocations', id::text) FROM added
"""
_APPLICATION: Final = "usename = 'app' AND pid <> pg_backend_pid()"
_RESET: Final = (
    "SET default_transaction_read_only = off",
    "ALTER SYSTEM RESET ALL",
    "ALTER ROLE app CONNECTION LIMIT -1",
    "SELECT pg_reload_conf()",
)


class Database:
    """A database that drills break."""

    def __init__(self, url: str) -> None:
        self._url = parse_database_url(url)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection on which each statement is a transaction of its own."""
        async with connect(self._url, autocommit=True) as connection:
            yield connection

    async def execute(self, *statements: str) -> list[Any]:
        """Execute statements, and return the rows of the last one. Raises `DatabaseError`."""
        rows: list[Any] = []
        async with self.session() as connection:
            for statement in statements:
                result = await connection.exec_driver_sql(statement)
                rows = [*result.all()] if result.returns_rows else []
        return rows

    async def number(self, statement: str) -> int:
        """Return the one number that a query finds."""
        ((number,),) = await self.execute(statement)
        return int(number)

    async def tasks_of(self, users: Sequence[str]) -> dict[str, list[Row]]:
        """Return the tasks of users, deleted ones too."""
        found: dict[str, list[Row]] = {user: [] for user in users}
        async with self.session() as connection:
            result = await connection.exec_driver_sql(_ROWS, ([*users],))
            for columns in result.all():
                owner, *row = tuple[Any, ...](columns)
                found[owner].append(Row(*row))
        return found

    async def add_tasks(self, users: Sequence[str], number: int) -> None:
        """Add so many tasks for each user, without counting them."""
        async with self.session() as connection:
            await connection.exec_driver_sql(_ADD, ([*users], number))
            await connection.exec_driver_sql("VACUUM ANALYZE public.tasks")

    async def end_connections(self) -> int:
        """End the connections of the service from the server's side, and return how many."""
        ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_APPLICATION}"  # noqa: S608 - ours
        return len(await self.execute(ended))

    async def end_idle_connections(self) -> int:
        """End the service's connections on which nothing runs, and return how many."""
        ended = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_APPLICATION}"  # noqa: S608 - ours
        return len(await self.execute(f"{ended} AND state = 'idle'"))

    async def connections(self) -> int:
        """Return the number of connections of the service."""
        return await self.number(f"SELECT count(*) FROM pg_stat_activity WHERE {_APPLICATION}")  # noqa: S608 - ours

    async def waiting(self) -> int:
        """Return how many statements of the service wait for a lock."""
        return await self.number(
            f"SELECT count(*) FROM pg_stat_activity WHERE {_APPLICATION}"  # noqa: S608 - ours
            " AND state = 'active' AND wait_event_type = 'Lock'"
        )

    async def revoke_sessions(self, sessions: Iterable[str]) -> None:
        """Revoke sessions, each in a transaction of its own with its notification."""
        async with self.session() as connection:
            for session in sessions:
                await connection.exec_driver_sql(_REVOKE, (session,))

    async def reset(self) -> None:
        """Undo settings that a drill changed."""
        await self.execute(*_RESET)
