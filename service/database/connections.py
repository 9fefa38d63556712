"""A connection pool: the longest waiter gets the next connection that becomes free.

1. A task takes the idle connection that was used last. If there is none, it waits in line for the
   next connection that is given back or opened, whichever is first. A health check goes first in
   line: its answer must not depend on how many requests wait. A waiter that is cancelled or times
   out passes its connection on.
2. Connections are opened in background tasks, so that a task that gives up loses no opening, and a
   slow opening delays no task while other connections become free.
3. A connection that is closed or in an unknown state is never reused. One that was idle for a while
   must answer first. If it does not, all that were idle for as long are dropped as well.
4. A connection that is too old is replaced when it is given back, one at a time, so that the pool
   never shrinks by more than one. `retire` replaces all at once.

The driver is not imported here: `connect` opens connections and `probe` asks for an answer.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

from service.database.line import Line

IDLE_SECONDS: Final = 5.0
"""A connection that was idle for so many seconds must answer before it is used again."""
_CLOSE_SECONDS: Final = 1.0
_LONG_AGO: Final = float("-inf")


class Closable(Protocol):
    """What the pool needs of a connection."""

    def is_closed(self) -> bool:
        """Return whether either side has closed the connection."""
        ...

    def terminate(self) -> None:
        """Close the connection at once, without waiting for the server."""
        ...

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 - the driver's own
        """Close the connection gracefully, and wait for the server."""
        ...


async def _end(connection: Closable) -> None:
    # The driver asks the server to cancel the statement. Otherwise it would continue and keep a
    # process of the server, which does not check whether its client is still connected.
    with contextlib.suppress(Exception):
        await connection.close(timeout=_CLOSE_SECONDS)


ConnectionT = TypeVar("ConnectionT", bound=Closable)


class Connections(Generic[ConnectionT]):
    """A pool of up to `size` connections, which `connect` opens when they are needed.

    `probe` raises an error if a connection does not answer. A task waits up to `wait_seconds`, or
    `open_seconds` while a connection is being opened for it. Each connection that is taken must be
    given back or discarded, exactly once.
    """

    def __init__(  # noqa: PLR0913 - all but the first are passed by name
        self,
        connect: Callable[[], Awaitable[ConnectionT]],
        *,
        probe: Callable[[ConnectionT], Awaitable[object]],
        size: int,
        wait_seconds: float,
        open_seconds: float,
        max_age_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._probe = probe
        self._size = size
        self._open_seconds = open_seconds
        self._max_age_seconds = max_age_seconds
        self._clock = clock
        self._line = Line(
            wait_seconds=wait_seconds,
            coming=lambda: len(self._opening),
            give_back=self.give_back,
        )
        # Each with the time since which it has been idle, in the order of these times.
        self._idle: list[tuple[ConnectionT, float]] = []
        # Every open connection, idle or in use, and the time when it was opened.
        self._opened: dict[ConnectionT, float] = {}
        # Each opening with the time when it began.
        self._opening: dict[asyncio.Task[Exception | None], float] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def in_use(self) -> int:
        """The number of connections in use."""
        return len(self._opened) - len(self._idle)

    async def take(self, *, first: bool = False) -> ConnectionT:
        """Return a connection for exclusive use. With `first`, get the next one that is free.

        Raises `TimeoutError`, and what `connect` raises.
        """
        seconds = self._open_seconds
        while self._idle:
            connection, since = self._idle.pop()
            if connection.is_closed():
                self._drop(connection)
                continue
            now = self._clock()
            if now - since < IDLE_SECONDS or await self._answers(connection, since):
                return connection
            seconds -= self._clock() - now
        return await self._line.wait(seconds, first=first, joined=self._open_for_waiters)

    def give_back(self, connection: ConnectionT) -> None:
        """Put a connection back into the pool. It must have no open statement or transaction."""
        now, opened = self._clock(), self._opened[connection]
        if connection.is_closed() or opened == _LONG_AGO:
            self._drop(connection)
            self._open_for_waiters()
        elif now - opened < self._max_age_seconds or self._opening:
            self._hand_over(connection, now)
        else:
            self._drop(connection)
            self._open_one()

    def discard(self, connection: ConnectionT) -> None:
        """Close a connection in an unknown state. A statement that runs on it is cancelled."""
        del self._opened[connection]
        if connection.is_closed():
            connection.terminate()
        else:
            task = asyncio.get_running_loop().create_task(_end(connection))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        self._open_for_waiters()

    def retire(self) -> None:
        """Replace all connections: idle ones now, those in use when they are given back."""
        self._opened = dict.fromkeys(self._opened, _LONG_AGO)
        self._drop_idle(lambda _, __: True)

    async def replace(self) -> None:
        """Open a connection, and retire all others if that succeeds.

        Raises what `connect` raises.
        """
        connection = await self._connect()
        self.retire()
        self._admit(connection)

    def doubt(self) -> None:
        """Require every idle connection to answer before it is used again."""
        self._idle = [(connection, _LONG_AGO) for connection, _ in self._idle]

    def open_missing(self) -> None:
        """Begin to open all connections that the pool can have."""
        self._drop_idle(lambda connection, _: connection.is_closed())
        while len(self._opened) + len(self._opening) < self._size:
            self._open_one()

    async def open_in_turn(self) -> None:
        """Open all connections that the pool can have, one after another, until one fails."""
        while len(self._opened) + len(self._opening) < self._size:
            self._open_one()
            if await self.opened():
                return

    async def opened(self) -> list[Exception]:
        """Wait for the connections that are being opened, and return the errors of the failures."""
        if not self._opening:
            return []
        tasks, _ = await asyncio.wait([*self._opening])
        results = (task.result() for task in tasks if not task.cancelled())
        return [error for error in results if error is not None]

    async def close(self) -> None:
        """Close every idle connection now, and each connection in use when it is given back."""
        opening = [*self._opening]
        for task in opening:
            task.cancel()
        idle, self._idle = self._idle, []
        for connection, _ in idle:
            del self._opened[connection]
        self._opened = dict.fromkeys(self._opened, _LONG_AGO)
        closing = (connection.close(timeout=_CLOSE_SECONDS) for connection, _ in idle)
        # The driver terminates a connection that the server does not close in time.
        await asyncio.gather(*closing, *opening, *self._ending, return_exceptions=True)

    async def _answers(self, connection: ConnectionT, since: float) -> bool:
        """Return whether an idle connection still answers. If not, it is dropped."""
        try:
            await self._probe(connection)
        except Exception:  # noqa: BLE001 - whatever it is, another connection is used
            # A server or network that vanished took the others with it.
            self._drop_idle(lambda _, other_since: other_since <= since)
            self.discard(connection)
            return False
        except BaseException:
            self.discard(connection)
            raise
        return True

    def _hand_over(self, connection: ConnectionT, now: float) -> None:
        """Pass a free connection to the task that has waited longest, or keep it."""
        if not self._line.serve(connection):
            self._idle.append((connection, now))

    def _open_for_waiters(self) -> None:
        waiting = len(self._line)
        while len(self._opening) < waiting and len(self._opened) + len(self._opening) < self._size:
            self._open_one()

    def _open_one(self) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._open())
        self._opening[task] = loop.time()
        task.add_done_callback(self._opening_ended)

    async def _open(self) -> Exception | None:
        """Open one connection, and return the error if it fails."""
        try:
            connection = await self._connect()
        except Exception as error:  # noqa: BLE001 - the tasks that wait for it raise it
            return error
        self._admit(connection)
        return None

    def _admit(self, connection: ConnectionT) -> None:
        now = self._clock()
        self._opened[connection] = now
        self._hand_over(connection, now)

    def _opening_ended(self, task: asyncio.Task[Exception | None]) -> None:
        began = self._opening.pop(task)
        if task.cancelled():
            return
        error = task.result()
        if error is not None:
            if self._opening or self._opened:
                return  # another connection may still become free for those who wait
            self._line.fail(error, until=began)
        # Those who came later have not had an attempt yet.
        self._open_for_waiters()

    def _drop_idle(self, is_bad: Callable[[ConnectionT, float], bool]) -> None:
        bad = [one for one, since in self._idle if is_bad(one, since)]
        self._idle = [one for one in self._idle if one[0] not in bad]
        for connection in bad:
            self._drop(connection)

    def _drop(self, connection: ConnectionT) -> None:
        del self._opened[connection]
        connection.terminate()
