"""`PendingFetch`: one fetch of a key set, and the requests that wait for it.

When it is done, they go on one after the other, in different turns of the event loop, and with
short pauses in between. Each verifies a signature or is refused then, and many at once would delay
all other requests by as long as that takes together.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from better_auth_keys.clock import Clock

PAUSE_SECONDS: Final = 0.001
"""Between two requests that go on: a multiple of the time that one takes."""
LONGEST_SECONDS: Final = 0.5
"""How long the pauses take together, at most: with more requests, they are shorter."""


@dataclass(slots=True)
class PendingFetch:
    """One fetch. `ordinal` counts from 1; it is None until the fetch begins."""

    ordinal: int | None = None
    # A fetch counts as failed until it succeeds, so one that is cancelled has failed.
    error: str | None = "interrupted"
    done: bool = False
    waiters: OrderedDict[asyncio.Event, None] = field(default_factory=OrderedDict)

    async def wait(self, clock: Clock, seconds: float) -> None:
        """Wait at most `seconds` for the end of the fetch.

        If it ends in time, wait for the caller's turn as well, `LONGEST_SECONDS` longer at most.
        """
        turn = asyncio.Event()
        self.waiters[turn] = None
        try:
            await clock.wait(turn, seconds)
            # Otherwise all those whose time ends while others go on would go on at once.
            if self.done:
                await clock.wait(turn, LONGEST_SECONDS)
        finally:
            self.waiters.pop(turn, None)

    def end(self) -> None:
        """Release the waiters in their order."""
        self.done = True
        if self.waiters:
            pause = min(PAUSE_SECONDS, LONGEST_SECONDS / len(self.waiters))
            self._release(asyncio.get_running_loop().time(), pause)

    def _release(self, due: float, pause: float) -> None:
        """Release the waiter that was due at that time, and the others after it."""
        if not self.waiters:
            return
        self.waiters.popitem(last=False)[0].set()
        loop, due = asyncio.get_running_loop(), due + pause
        if due > loop.time():
            loop.call_at(due, self._release, due, pause)
        else:  # a timer of a loop that has nothing else to do is up to 1 ms late
            loop.call_soon(self._release, due, pause)
