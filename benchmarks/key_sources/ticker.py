"""How long the event loop was held up, by a coroutine that only sleeps."""

import asyncio
import os
import statistics
import time
from contextlib import suppress
from typing import Final, Self

_TICK: Final = 0.001
# "cpu_time run_delay timeslices" of the thread that opens it, in nanoseconds (Linux).
_SCHEDULER: Final = "/proc/thread-self/schedstat"


class Ticker:
    """Sleeps a millisecond again and again while it is entered, and notes how long each took.

    Other programs on a busy machine hold it up as well. Linux counts, for each thread, the time it
    was ready to run and another had the core: `stall` leaves that out, `wall_stall` does not. Time
    that the loop's thread works, or sleeps in a blocking call, is in both.
    """

    def __init__(self) -> None:
        self._sleeps: list[tuple[float, float]] = []
        self._calm = self._wall_calm = 0.0
        self._scheduler: int | None = None

    async def __aenter__(self) -> Self:
        """Learn what a sleep takes when nothing else goes on."""
        with suppress(OSError):
            self._scheduler = os.open(_SCHEDULER, os.O_RDONLY)
        self._task = asyncio.create_task(self._tick())
        await asyncio.sleep(100 * _TICK)
        self._calm = statistics.median(wall - kept_out for wall, kept_out in self._sleeps)
        self._wall_calm = statistics.median(wall for wall, _ in self._sleeps)
        self._sleeps.clear()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let the sleep under way end: it may be the one that was held up."""
        await asyncio.sleep(10 * _TICK)
        self._task.cancel()
        if self._scheduler is not None:
            os.close(self._scheduler)

    @property
    def stall(self) -> float:
        """The longest sleep over a calm one, in milliseconds, without other programs' doing."""
        return (max(wall - kept_out for wall, kept_out in self._sleeps) - self._calm) * 1e3

    @property
    def wall_stall(self) -> float:
        """The longest sleep over a calm one, in milliseconds."""
        return (max(wall for wall, _ in self._sleeps) - self._wall_calm) * 1e3

    async def _tick(self) -> None:
        while True:
            began, kept_out = time.perf_counter(), self._kept_out()
            await asyncio.sleep(_TICK)
            self._sleeps.append((time.perf_counter() - began, self._kept_out() - kept_out))

    def _kept_out(self) -> float:
        if self._scheduler is None:
            return 0.0
        return int(os.pread(self._scheduler, 100, 0).split()[1]) / 1e9
