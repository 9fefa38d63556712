"""Time and chance, injected: tests move the one and fix the other instead of sleeping."""

import asyncio
import random
import time
from contextlib import suppress
from typing import Protocol


class Clock(Protocol):
    """What the key sets need of time. Seconds throughout."""

    def monotonic(self) -> float:
        """Give a time that never jumps: cache ages hang on it, never on the wall clock."""
        ...

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Return when `event` is set or `seconds` have passed, whichever comes first."""
        ...

    def jitter(self, low: float, high: float) -> float:
        """Give a random factor between `low` and `high`, so that replicas drift apart."""
        ...


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """Give `time.monotonic()`."""
        return time.monotonic()

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait on the running event loop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await event.wait()

    def jitter(self, low: float, high: float) -> float:
        """Draw from the default generator: nothing here needs to be unguessable."""
        return random.uniform(low, high)  # noqa: S311 - spreads load, protects nothing
