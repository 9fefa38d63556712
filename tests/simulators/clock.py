"""A clock that only a test moves."""

import asyncio
from collections.abc import Callable
from contextlib import suppress


class ManualClock:
    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[tuple[float, asyncio.Event]] = []

    def monotonic(self) -> float:
        return self.now

    def jitter(self, low: float, high: float) -> float:
        return (low + high) / 2

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        timer = asyncio.Event()
        entry = (self.now + seconds, timer)
        self._timers.append(entry)
        waiting = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(timer.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._timers.remove(entry)
            for task in waiting:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for due, timer in self._timers:
            if due <= self.now:
                timer.set()


async def eventually(condition: Callable[[], bool]) -> None:
    """Run the event loop until `condition` is true; fail after five seconds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the event is on the other side of a socket
            await asyncio.sleep(0.002)


async def advancing(clock: ManualClock, condition: Callable[[], bool], step: float = 0.1) -> None:
    """Move the clock in steps, with the event loop running, until `condition` is true."""
    async with asyncio.timeout(5):
        while not condition():
            clock.advance(step)
            await asyncio.sleep(0.002)
