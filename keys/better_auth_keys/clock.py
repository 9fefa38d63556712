"""Time and randomness as a dependency, so that tests can set both instead of sleeping."""

import asyncio
import random
import time
from contextlib import suppress
from typing import Protocol


class Clock(Protocol):
    """The time functions that key sets need. All times are in seconds."""

    def monotonic(self) -> float:
        """Return a time that never jumps, for cache ages; the wall clock may jump."""
        ...

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait until `event` is set, but at most for `seconds`."""
        ...

    def jitter(self, low: float, high: float) -> float:
        """Return a random factor from `low` to `high`, which keeps replicas out of step."""
        ...


class SystemClock:
    """The real clock."""

    # Without a function around it, because it is called for each token.
    monotonic = staticmethod(time.monotonic)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for `event`, but at most for `seconds`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await event.wait()

    def jitter(self, low: float, high: float) -> float:
        """Return a random factor from `low` to `high`."""
        return random.uniform(low, high)  # noqa: S311 - spreads load, protects nothing
