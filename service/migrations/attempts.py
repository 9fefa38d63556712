"""Apply changes to a database in use: wait briefly for locks, and try again.

1. A statement that waits for a table's lock holds up every later request for that table, even a
   read. So it waits for less time than a request waits for a connection, and no request fails.
2. If it does not get the lock, the whole transaction is rolled back. After a pause, in which the
   requests that queued up are served, the transaction is tried again. The pauses get longer.
3. After `give_up_seconds`, an error names the sessions that hold the locks.
4. A statement that takes longer than `statement_seconds` is canceled and not tried again: it would
   take as long, and may hold locks meanwhile.
5. Statements outside of a transaction (CREATE INDEX CONCURRENTLY) do not hold up requests. They can
   take as long as they need, and wait for locks for `give_up_seconds`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from service.database.command_connection import connect, first_line
from service.database.url import DatabaseUrl
from service.migrations.errors import MigrationError

Result = TypeVar("Result")

_LOCK_NOT_AVAILABLE: Final = "55P03"
_DEADLOCK: Final = "40P01"
_QUERY_CANCELED: Final = "57014"
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 10.0

# Any role can read these columns. A session that holds a lock for a moment only is not the cause,
# so callers keep the sessions that held one at every attempt.
_HOLDERS: Final = text(
    """
    SELECT DISTINCT format('%s (role %s)', a.pid, a.usename)
    FROM pg_catalog.pg_locks AS l
    JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
    JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
    WHERE l.granted AND l.pid <> pg_catalog.pg_backend_pid()
      AND a.datname = pg_catalog.current_database()
      AND c.relnamespace = 'public'::regnamespace
    """
)


@dataclass(frozen=True)
class Patience:
    """How long to wait for locks, and when to give up, in seconds."""

    lock_seconds: float = 0.5
    """The longest wait for a lock, which holds up requests (they wait 1 s for a connection)."""
    statement_seconds: float = 30.0
    """The time after which one statement is canceled."""
    give_up_seconds: float = 300.0
    """The time after which one change is given up."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic

    def pauses(self) -> Iterator[float]:
        """Yield the pauses between attempts, without end."""
        pause = _FIRST_PAUSE
        while True:
            yield pause
            pause = min(2 * pause, _LONGEST_PAUSE)


class Attempts:
    """Runs changes on one connection. `waiting` is called with a line about each wait."""

    def __init__(
        self,
        url: DatabaseUrl,
        connection: AsyncConnection,
        patience: Patience,
        waiting: Callable[[str], object],
    ) -> None:
        self._url = url
        self._connection = connection
        self._patience = patience
        self._waiting = waiting

    async def run(
        self, what: str, work: Callable[[Connection], Result], *, autocommit: bool = False
    ) -> Result:
        """Run `work` in a transaction, or outside of one, until it gets its locks.

        Raises `MigrationError` if that takes too long, or if a statement fails.
        """
        once = self._outside_of_a_transaction if autocommit else self._in_a_transaction
        began = self._patience.clock()
        in_the_way: set[str] | None = None
        for number, pause in enumerate(self._patience.pauses(), 1):
            try:
                return await once(work)
            except DBAPIError as error:
                state = getattr(error.orig, "sqlstate", None)
                if state == _QUERY_CANCELED:
                    raise self._canceled(what) from error
                if state is None:  # the connection was lost
                    raise
                if state not in (_LOCK_NOT_AVAILABLE, _DEADLOCK):
                    raise MigrationError(f"{what}: {first_line(error.orig)}") from error
            holders = await self._holders()
            in_the_way = holders if in_the_way is None else in_the_way & holders
            passed = self._patience.clock() - began
            if passed + pause > self._patience.give_up_seconds:
                raise self._given_up(what, number, passed, in_the_way, autocommit=autocommit)
            self._waiting(
                f"{what}: attempt {number} could not lock its tables; trying again in {pause:.0f} s"
            )
            await self._patience.sleep(pause)
        raise AssertionError("the pauses have no end")  # pragma: no cover

    async def _in_a_transaction(self, work: Callable[[Connection], Result]) -> Result:
        async with self._connection.begin():
            await _set_timeouts(
                self._connection,
                "SET LOCAL",
                self._patience.lock_seconds,
                self._patience.statement_seconds,
            )
            return await self._connection.run_sync(work)

    async def _outside_of_a_transaction(self, work: Callable[[Connection], Result]) -> Result:
        # A connection of its own, because these timeouts last as long as the connection.
        async with connect(self._url, autocommit=True) as connection:
            await _set_timeouts(connection, "SET", self._patience.give_up_seconds, 0)
            try:
                return await connection.run_sync(work)
            except DBAPIError as error:
                failure = error
        raise failure

    async def _holders(self) -> set[str]:
        """Return the sessions that hold a lock on one of our tables."""
        async with self._connection.begin():
            return set((await self._connection.scalars(_HOLDERS)).all())

    def _canceled(self, what: str) -> MigrationError:
        limit = self._patience.statement_seconds
        return MigrationError(
            f"{what}: a statement was canceled, as each is after {limit:g} s, and the change was"
            " rolled back; the statement may lock tables while it runs, so run migrate at a quiet"
            " hour with a longer --statement-timeout"
        )

    def _given_up(
        self, what: str, attempts: int, seconds: float, in_the_way: set[str], *, autocommit: bool
    ) -> MigrationError:
        sessions = ", ".join(sorted(in_the_way)) or "unknown"
        left = (
            "an unfinished index is dropped by the next run" if autocommit else "it was rolled back"
        )
        return MigrationError(
            f"{what}: could not lock its tables in {seconds:.0f} s (attempts: {attempts});"
            f" {left}. Sessions that held locks all the time: {sessions}. End them"
            " (pg_terminate_backend), or wait until they end, and run migrate --execute again"
        )


async def _set_timeouts(
    connection: AsyncConnection, command: str, lock_seconds: float, statement_seconds: float
) -> None:
    for name, seconds in (("lock_timeout", lock_seconds), ("statement_timeout", statement_seconds)):
        await connection.exec_driver_sql(f"{command} {name} = {round(seconds * 1000)}")
