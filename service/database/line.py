"""A line of tasks: each free thing is passed to the task that has waited longest."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final, Generic, TypeVar

ThingT = TypeVar("ThingT")

_LATENESS_SECONDS: Final = 0.01
"""Tasks give up so much later at most. Those that would give up within this time do so together."""


@dataclass(slots=True, eq=False)
class _Waiter(Generic[ThingT]):
    """A task in line: when it began to wait, when it gives up, and when at the latest."""

    place: asyncio.Future[ThingT]
    began: float
    gives_up: float
    deadline: float


class Line(Generic[ThingT]):
    """Tasks that wait in order. `give_back` takes what was passed to a task that was cancelled.

    A task waits up to `wait_seconds`, and longer while it is among the first `coming()` in line.

    All tasks share one timer. On a busy service most statements wait in line, and a timer for each
    would cost as much as the waiting itself.
    """

    def __init__(
        self,
        *,
        wait_seconds: float,
        coming: Callable[[], int],
        give_back: Callable[[ThingT], None],
    ) -> None:
        self._wait_seconds = wait_seconds
        self._coming = coming
        self._give_back = give_back
        self._waiting: deque[_Waiter[ThingT]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        while self._waiting and self._waiting[0].place.done():
            self._waiting.popleft()
        return len(self._waiting)

    async def wait(self, seconds: float, *, first: bool, joined: Callable[[], None]) -> ThingT:
        """Join the line, at its head if `first`, call `joined`, and return what is passed.

        Raises `TimeoutError`, at the latest after so many seconds, and what `fail` was called with.
        """
        # A semaphore with a timeout around it costs a waiter twice as much.
        loop = asyncio.get_running_loop()
        place: asyncio.Future[ThingT] = loop.create_future()
        began = loop.time()
        gives_up = began + min(self._wait_seconds, seconds)
        waiter = _Waiter(place, began, gives_up, began + seconds)
        if first:
            self._waiting.appendleft(waiter)
        else:
            self._waiting.append(waiter)
        joined()
        if self._timer is None or gives_up < self._timer.when() - _LATENESS_SECONDS:
            self._start_timer(loop, gives_up)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._give_back(place.result())  # it came at the moment of the cancellation
            raise

    def serve(self, thing: ThingT) -> bool:
        """Pass a thing to the task that has waited longest. Return whether there is one."""
        while self._waiting:
            place = self._waiting.popleft().place
            if not place.done():
                place.set_result(thing)
                return True
        return False

    def fail(self, error: Exception, *, until: float) -> None:
        """Raise an error in the tasks that began to wait until then."""
        failed = [one.place for one in self._waiting if one.began <= until]
        self._waiting = deque(one for one in self._waiting if one.began > until)
        for place in failed:
            if not place.done():
                place.set_exception(error)

    def _start_timer(self, loop: asyncio.AbstractEventLoop, gives_up: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_at(gives_up + _LATENESS_SECONDS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """End the wait of the tasks whose time is over."""
        self._timer = None
        self._waiting = deque(one for one in self._waiting if not one.place.done())
        now, coming = loop.time(), self._coming()
        for one in [one for one in self._waiting if one.gives_up <= now]:
            left = one.deadline - now
            waiting = (other for other in self._waiting if not other.place.done())
            if left > 0 and one in islice(waiting, coming):
                one.gives_up = now + min(self._wait_seconds, left)
            else:
                one.place.set_exception(TimeoutError("no connection became free in time"))
        times = [one.gives_up for one in self._waiting if not one.place.done()]
        if times:
            self._start_timer(loop, min(times))
