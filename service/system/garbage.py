"""Keep garbage collections short and rare: all requests wait while one runs.

A collection examines the young objects that are alive, and those of a request are freed by their
reference counts when it ends (docs/decisions/0076). So it is made when the requests that are alive
have few of them, and not because many requests wait. What is left of many such collections is
examined as well, but rarely.
"""

import asyncio
import gc
from collections.abc import Callable
from typing import Final

OF_A_REQUEST: Final = 80
"""How many objects a request has while it waits for the issuer's keys."""
WORTHWHILE: Final = 10_000
"""How many objects that belong to no request are worth a collection."""
RARELY: Final = 120_000
"""After how many more objects Python collects in any case. What the default settings admit has
fewer."""
MANY_OLD: Final = 200_000
"""After how many more objects that were left by such collections all old ones are examined."""
LOOK_SECONDS: Final = 0.25
_YOUNG: Final = 1
"""With the middle generation, so that no object is examined a second time as a young one."""


def make_collections_rare() -> None:
    """Make collections rare. Call it before the imports of the application.

    During the imports, collections free next to nothing, and took a quarter of the start.
    """
    gc.set_threshold(RARELY, 20, 100)


class ShortCollections:
    """Collects young garbage when it is worthwhile. `alive` returns how many requests there are."""

    def __init__(self, alive: Callable[[], int]) -> None:
        self._alive = alive
        self._old = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start, and exclude the objects that there are: they live as long as the process."""
        gc.freeze()
        self._look()

    def stop(self) -> None:
        """Make no more collections."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        young, automatic, _ = gc.get_count()
        if young >= WORTHWHILE + OF_A_REQUEST * self._alive():
            self._old += young + RARELY * automatic - gc.collect(_YOUNG)
            if self._old >= MANY_OLD:
                gc.collect()
                self._old = 0
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
