"""`Deadline`: the time limit of a connection, which changes several times in each request.

A timer of the event loop is costly to create and to cancel. A request that comes in time needs
none: the timer stays, and when it fires it is set again for the rest of the time.
"""

import asyncio
from collections.abc import Callable


def nothing() -> None:
    """Do nothing: the connection has ended."""


class Deadline:
    """Calls `expired` when the time is over."""

    __slots__ = ("_due", "_expired", "_fires_at", "_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0

    def set(self, seconds: float) -> None:
        """Expire after so many seconds from now, and not before."""
        due = self._due = self._loop.time() + seconds
        if self._timer is None:
            self._start(due)
        elif due < self._fires_at:
            self._timer.cancel()
            self._start(due)

    def clear(self) -> None:
        """Expire no more, until a new deadline is set."""
        self._due = None

    def end(self) -> None:
        """Never expire, and release the timer and what would have been called."""
        self._due, self._expired = None, nothing
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, due: float) -> None:
        self._fires_at = due
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._loop.time() < self._due:
            self._start(self._due)
        else:
            self._due = None
            self._expired()
