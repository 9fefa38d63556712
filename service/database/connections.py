"""A bounded list of open connections: the one used last goes out first, to the longest waiter.

1. A task that asks for a connection gets a turn first; there are `size` turns. When one becomes
   free it goes to the task that has waited longest, never to a newcomer. A waiter that is
   cancelled or gives up passes its turn on.
2. With a turn, a task gets the idle connection that was used last, or a new one. Connections at the
   bottom of the list stay idle when traffic is low.
3. A connection that is closed, too old or of unknown state is never handed out: it is replaced.

The driver is not imported here: what a connection is, and how it is checked, is up to `connect`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

MAX_AGE_SECONDS: Final = 1800.0
"""How old a connection may get. Servers, and addresses behind a name, change over time."""
_CLOSE_SECONDS: Final = 1.0


class Closable(Protocol):
    """What the list must know about a connection."""

    def is_closed(self) -> bool:
        """Return whether the connection is closed, from either side."""
        ...

    def terminate(self) -> None:
        """Close the connection at once, without waiting for the server."""
        ...

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 - the driver's own
        """Close the connection in agreement with the server."""
        ...


ConnectionT = TypeVar("ConnectionT", bound=Closable)


class Connections(Generic[ConnectionT]):
    """Up to `size` connections, each opened by `connect` when it is needed.

    Each connection that is taken must be given back or discarded, once.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[ConnectionT]],
        *,
        size: int,
        wait_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connect = connect
        self._wait_seconds = wait_seconds
        self._clock = clock
        # Fair: a turn that is released belongs to the longest waiter at once.
        self._turns = asyncio.Semaphore(size)
        self._idle: list[ConnectionT] = []
        # Every open connection, idle or in use, and until when it may be used.
        self._good_until: dict[ConnectionT, float] = {}

    @property
    def in_use(self) -> int:
        """How many connections are taken now."""
        return len(self._good_until) - len(self._idle)

    async def take(self) -> ConnectionT:
        """Return a connection for the caller alone.

        Raises `TimeoutError` after `wait_seconds` without a turn, and what `connect` raises.
        """
        if self._turns.locked():
            async with asyncio.timeout(self._wait_seconds):
                await self._turns.acquire()
        else:
            await self._turns.acquire()
        try:
            return self._used_last() or await self._new()
        except BaseException:
            self._turns.release()
            raise

    def give_back(self, connection: ConnectionT) -> None:
        """Take a connection back whose state is known: no statement and no transaction is open."""
        if self._is_good(connection):
            self._idle.append(connection)
        else:
            self._drop(connection)
        self._turns.release()

    def discard(self, connection: ConnectionT) -> None:
        """Close a connection whose state is unknown."""
        self._drop(connection)
        self._turns.release()

    async def close(self) -> None:
        """Close every idle connection now, and every other one when it is given back."""
        idle, self._idle = self._idle, []
        for connection in idle:
            del self._good_until[connection]
        self._good_until = dict.fromkeys(self._good_until, float("-inf"))
        closing = (connection.close(timeout=_CLOSE_SECONDS) for connection in idle)
        # A connection that the server does not close in time is terminated by the driver.
        await asyncio.gather(*closing, return_exceptions=True)

    def _used_last(self) -> ConnectionT | None:
        while self._idle:
            connection = self._idle.pop()
            if self._is_good(connection):
                return connection
            self._drop(connection)
        return None

    async def _new(self) -> ConnectionT:
        connection = await self._connect()
        self._good_until[connection] = self._clock() + MAX_AGE_SECONDS
        return connection

    def _is_good(self, connection: ConnectionT) -> bool:
        return not connection.is_closed() and self._clock() < self._good_until[connection]

    def _drop(self, connection: ConnectionT) -> None:
        del self._good_until[connection]
        connection.terminate()
