"""Wait until something that a drill needs has happened."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

POLL_SECONDS: Final = 0.02


class StageError(Exception):
    """The stage could not be prepared, or did not recover. The message is one line."""


async def until(
    condition: Callable[[], Awaitable[object]], what: str, *, seconds: float = 30.0
) -> float:
    """Wait until a condition is true, and return how long it took. Raises `StageError`."""
    began = time.monotonic()
    while not await condition():
        if time.monotonic() - began > seconds:
            raise StageError(f"{what}: not within {seconds:.0f} s")
        await asyncio.sleep(POLL_SECONDS)
    return time.monotonic() - began
