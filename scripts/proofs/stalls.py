"""Measure how long an event loop runs one task without a turn for the others."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

_TICK: Final = 0.001


@dataclass(frozen=True)
class Stall:
    """The longest time in which no other task had a turn, in milliseconds."""

    cpu_ms: float
    wall_ms: float


class Ticker:
    """Measures stalls while it runs."""

    def __init__(self) -> None:
        self._cpu = self._wall = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Measure until the block ends."""
        task = asyncio.create_task(self._tick())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    def stall(self) -> Stall:
        """Return the longest stall."""
        return Stall(self._cpu * 1e3, self._wall * 1e3)

    async def _tick(self) -> None:
        while True:
            cpu, wall = time.thread_time(), time.perf_counter()
            await asyncio.sleep(_TICK)
            self._cpu = max(self._cpu, time.thread_time() - cpu)
            self._wall = max(self._wall, time.perf_counter() - wall - _TICK)
