"""A line of tasks: each free thing is passed to the task that has waited longest."""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Generic, TypeVar

ThingT = TypeVar("ThingT")


class Line(Generic[ThingT]):
    """Tasks that wait in order. `give_back` takes what was passed to a task that was cancelled.

    A task waits up to `wait_seconds`, and longer while it is among the first `coming()` in line.
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
        # With the time when each began to wait.
        self._waiting: deque[tuple[asyncio.Future[ThingT], float]] = deque()

    def __len__(self) -> int:
        while self._waiting and self._waiting[0][0].done():
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
        if first:
            self._waiting.appendleft((place, began))
        else:
            self._waiting.append((place, began))
        joined()
        patience = min(self._wait_seconds, seconds)
        timer = loop.call_later(patience, self._give_up, place, began + seconds)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._give_back(place.result())  # it came at the moment of the cancellation
            raise
        finally:
            timer.cancel()

    def serve(self, thing: ThingT) -> bool:
        """Pass a thing to the task that has waited longest. Return whether there is one."""
        while self._waiting:
            place, _ = self._waiting.popleft()
            if not place.done():
                place.set_result(thing)
                return True
        return False

    def fail(self, error: Exception, *, until: float) -> None:
        """Raise an error in the tasks that began to wait until then."""
        failed = [place for place, began in self._waiting if began <= until]
        self._waiting = deque(one for one in self._waiting if one[1] > until)
        for place in failed:
            if not place.done():
                place.set_exception(error)

    def _give_up(self, place: "asyncio.Future[ThingT]", deadline: float) -> None:
        if place.done():
            return
        loop = place.get_loop()
        left = deadline - loop.time()
        waiting = (one for one, _ in self._waiting if not one.done())
        if left > 0 and place in islice(waiting, self._coming()):
            loop.call_later(min(self._wait_seconds, left), self._give_up, place, deadline)
        else:
            place.set_exception(TimeoutError("no connection became free in time"))
