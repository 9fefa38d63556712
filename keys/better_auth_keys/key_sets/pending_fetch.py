"""`PendingFetch`: one fetch of a key set, and the requests that wait for it.

When it is done, one of them goes on in each turn of the event loop. Each verifies a signature then,
and thousands in one turn would delay all other requests by as long as that takes together.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from better_auth_keys.clock import Clock


@dataclass(slots=True)
class PendingFetch:
    """One fetch. `ordinal` counts from 1; it is None until the fetch begins."""

    ordinal: int | None = None
    # A fetch counts as failed until it succeeds, so one that is cancelled has failed.
    error: str | None = "interrupted"
    done: bool = False
    waiters: OrderedDict[asyncio.Event, None] = field(default_factory=OrderedDict)

    async def wait(self, clock: Clock, seconds: float) -> None:
        """Wait until the fetch is done and it is the caller's turn, but at most for `seconds`."""
        turn = asyncio.Event()
        self.waiters[turn] = None
        try:
            await clock.wait(turn, seconds)
        finally:
            self.waiters.pop(turn, None)

    def end(self) -> None:
        """Release the waiters in their order."""
        self.done = True
        self._release()

    def _release(self) -> None:
        if self.waiters:
            self.waiters.popitem(last=False)[0].set()
            asyncio.get_running_loop().call_soon(self._release)
