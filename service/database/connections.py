"""A connection pool: the longest waiter gets the connection that was used last.

1. An asyncio task needs a turn before it gets a connection. There are `size` turns. A free turn
   goes to the task that has waited longest, never to a newcomer, except to a health check: its
   answer must not depend on how many requests wait. A waiter that is cancelled or times out passes
   its turn on.
2. A task with a turn gets the idle connection that was used last, or a new one. At low traffic, the
   connections at the bottom of the list stay idle.
3. A connection that is closed, too old or in an unknown state is never reused. It is replaced.

The driver is not imported here: `connect` opens and checks the connections.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

MAX_AGE_SECONDS: Final = 1800.0
"""The most seconds that a connection is used. Servers, and the addresses of names, change."""
_CLOSE_SECONDS: Final = 1.0


def _give_up(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_exception(TimeoutError("no connection became free in time"))


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


ConnectionT = TypeVar("ConnectionT", bound=Closable)


class Connections(Generic[ConnectionT]):
    """A pool of up to `size` connections, which `connect` opens when they are needed.

    Each connection that is taken must be given back or discarded, exactly once.
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
        self._free_turns = size
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: list[ConnectionT] = []
        # Every open connection, idle or in use, and the time until which it may be used.
        self._good_until: dict[ConnectionT, float] = {}

    @property
    def in_use(self) -> int:
        """The number of connections in use."""
        return len(self._good_until) - len(self._idle)

    async def take(self, *, first: bool = False) -> ConnectionT:
        """Return a connection for exclusive use. With `first`, get the next turn that is free.

        Raises `TimeoutError` after `wait_seconds` without a turn, and what `connect` raises.
        """
        if self._free_turns:
            self._free_turns -= 1
        else:
            await self._turn(first=first)
        try:
            return self._used_last() or await self._new()
        except BaseException:
            self._pass_turn_on()
            raise

    def give_back(self, connection: ConnectionT) -> None:
        """Put a connection back into the pool. It must have no open statement or transaction."""
        if self._is_good(connection):
            self._idle.append(connection)
        else:
            self._drop(connection)
        self._pass_turn_on()

    def discard(self, connection: ConnectionT) -> None:
        """Close a connection that is in an unknown state."""
        self._drop(connection)
        self._pass_turn_on()

    async def close(self) -> None:
        """Close every idle connection now, and each connection in use when it is given back."""
        idle, self._idle = self._idle, []
        for connection in idle:
            del self._good_until[connection]
        self._good_until = dict.fromkeys(self._good_until, float("-inf"))
        closing = (connection.close(timeout=_CLOSE_SECONDS) for connection in idle)
        # The driver terminates a connection that the server does not close in time.
        await asyncio.gather(*closing, return_exceptions=True)

    async def _turn(self, *, first: bool) -> None:
        """Wait for a turn. A semaphore with a timeout around it costs a waiter twice as much."""
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        if first:
            self._waiting.appendleft(turn)
        else:
            self._waiting.append(turn)
        giving_up = loop.call_later(self._wait_seconds, _give_up, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_turn_on()  # it came at the moment of the cancellation
            raise
        finally:
            giving_up.cancel()

    def _pass_turn_on(self) -> None:
        """Pass a turn that has become free to the task that has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free_turns += 1

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
