"""A pool of asyncpg's connections to one database. The role of each connection is checked."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import asyncpg

from service.database.connections import Connections
from service.database.driver import Connection
from service.database.opening import Opener
from service.database.repeating import lost_session, was_ended, was_not_sent
from service.database.role_check import ROLE_QUERY, RoleRefusedError, explain_role
from service.database.url import DatabaseUrl

_PROBE_SECONDS: Final = 0.5
"""Shorter than the time that a task waits for a connection, so that it gets one if probes fail."""
_MOVE_SECONDS: Final = 1.0


class Pool(Connections[Connection]):
    """Opens connections, executes statements on them, and judges connections by their errors.

    `budget` bounds everything that a statement waits for, in seconds. `waited` is called with the
    seconds that each statement waited for its connection.
    """

    def __init__(  # noqa: PLR0913 - all but the first are passed by name
        self,
        url: DatabaseUrl,
        *,
        size: int,
        budget: float,
        wait_seconds: float,
        max_age_seconds: float,
        prepared_statements: bool,
        waited: Callable[[float], object],
    ) -> None:
        super().__init__(
            self._open_checked,
            probe=self._ask,
            size=size,
            wait_seconds=wait_seconds,
            open_seconds=budget,
            max_age_seconds=max_age_seconds,
        )
        self._budget = budget
        self._waited = waited
        self._filled = False
        self._moving: asyncio.Task[None] | None = None
        self._moved = 0.0
        self._opener = Opener(
            url,
            application="better-auth-resource-server",
            prepared_statements=prepared_statements,
        )

    async def fetch(
        self, sql: str, arguments: Sequence[object], *, seconds: float, first: bool = False
    ) -> Sequence[asyncpg.Record]:
        """Execute a statement on a connection of the pool and return its rows.

        With `first`, it goes before all statements that wait for a connection.

        Raises what the driver raises, `TimeoutError` and `RoleRefusedError`.
        """
        asked = time.perf_counter()
        connection = await self.take(first=first)
        waited = time.perf_counter() - asked
        self._waited(waited)
        try:
            rows = await connection.rows(sql, arguments, seconds=seconds - waited)
        except BaseException as error:
            self._put_away(connection, error)
            raise
        self.give_back(connection)
        return rows

    async def fetch_together(
        self, statements: Sequence[tuple[str, Sequence[object]]], *, seconds: float
    ) -> list[Sequence[asyncpg.Record]]:
        """Execute statements in one transaction and return the rows of each.

        Each statement sees what was committed before it began. If one fails, the connection is
        discarded, and the server rolls the transaction back.

        Raises what `fetch` raises.
        """
        deadline = time.perf_counter() + seconds
        connection = await self.take()
        self._waited(seconds - (deadline - time.perf_counter()))
        try:
            left = deadline - time.perf_counter()
            # Stated, because a role or a database can have another default.
            await connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED", timeout=left)
            rows: list[Sequence[asyncpg.Record]] = []
            for sql, arguments in statements:
                left = deadline - time.perf_counter()
                rows.append(await connection.rows(sql, arguments, seconds=left))
            await connection.execute("COMMIT", timeout=deadline - time.perf_counter())
        except BaseException as error:
            self._put_away(connection, error, in_transaction=True)
            raise
        self.give_back(connection)
        return rows

    async def fill(self) -> None:
        """Open missing connections, so that requests need not wait for them.

        The first time, wait until all are open. If the server accepts fewer, use fewer.
        """
        self.open_missing()
        if self._filled:
            return
        for error in await self.opened():
            if not isinstance(error, asyncpg.TooManyConnectionsError):
                raise error
        self._filled = True

    async def move(self) -> bool:
        """Leave a server that became read-only. Return whether a new connection could be opened.

        If no other server is suitable, the connections stay, because they still serve reads. There
        is one attempt a second, for all statements that were refused.
        """
        now = time.monotonic()
        if self._moving is None or (self._moving.done() and now - self._moved >= _MOVE_SECONDS):
            self._moved = now
            self._moving = asyncio.get_running_loop().create_task(self.replace())
        moving = self._moving  # another task may begin the next attempt during this one
        await asyncio.wait([moving])
        return not moving.cancelled() and moving.exception() is None

    async def close(self) -> None:
        """Close every idle connection now, and each connection in use when it is given back."""
        if self._moving is not None:
            self._moving.cancel()
        await super().close()

    def _put_away(
        self, connection: Connection, error: BaseException, *, in_transaction: bool = False
    ) -> None:
        """Keep a connection if it can be used after the error, or discard it."""
        answered = isinstance(error, asyncpg.PostgresError) and not lost_session(error)
        if answered and not in_transaction:
            self.give_back(connection)
        else:  # lost, in a transaction, or interrupted, perhaps in the middle of a result
            self.discard(connection)
        if was_ended(error) or was_not_sent(error):
            # The server ends one session after the other. A new session is not affected.
            self.retire()
        elif not answered and isinstance(error, Exception):
            # What ended this connection, or keeps it silent, may affect the others as well.
            self.doubt()

    async def _ask(self, connection: Connection) -> None:
        await connection.execute("SELECT 1", timeout=min(_PROBE_SECONDS, self._budget / 2))

    async def _open_checked(self) -> Connection:
        """Open a connection and check its role before anything else runs on it."""
        async with asyncio.timeout(self._budget):
            connection = await self._opener.open(self._budget)
            try:
                (row,) = await connection.fetch(ROLE_QUERY)
                refusal = explain_role(dict(row))
                if refusal is not None:
                    raise RoleRefusedError(refusal)
            except BaseException:
                connection.terminate()
                raise
            return connection
