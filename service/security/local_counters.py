"""Sliding-window counters in this process: a hit costs the same with 100 clients and with 100,000.

One dictionary holds the hits of the current window, another those of the previous window. The
previous window counts in proportion to the part of it that the sliding window still covers. When a
window ends, its dictionary replaces the previous one, so no entries need to be swept.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

MAX_NAMES: Final = 200_000
"""The most names that a window counts. Beyond it, the oldest are forgotten to bound memory."""


class Count(NamedTuple):
    """The outcome of a hit: whether it is allowed, how many remain, and `reset` in seconds."""

    allowed: bool
    remaining: int
    reset: int


@dataclass(slots=True)
class _Window:
    number: int
    hits: dict[str, int] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)


class LocalCounters:
    """Counters by kind and name. `clock` returns the time in seconds."""

    def __init__(self, clock: Callable[[], float] = time.time, max_names: int = MAX_NAMES) -> None:
        self._clock = clock
        self._max_names = max_names
        self._windows: dict[str, _Window] = {}

    def hit(self, kind: str, name: str, amount: int, seconds: int) -> Count:
        """Count one hit of `name`, unless it already had `amount` hits in the last `seconds`."""
        number, elapsed = divmod(self._clock(), seconds)
        window = self._window(kind, int(number))
        current, previous = window.hits.get(name, 0), window.before.get(name, 0)
        weighted = int(previous * (1 - elapsed / seconds)) + current
        if weighted >= amount:
            wait = _until_allowed(previous, current, amount, seconds, elapsed)
            return Count(allowed=False, remaining=0, reset=wait)
        if not current and len(window.hits) >= self._max_names:
            del window.hits[next(iter(window.hits))]
        window.hits[name] = current + 1
        left = amount - weighted - 1
        return Count(allowed=True, remaining=left, reset=max(1, math.ceil(seconds - elapsed)))

    def take_back(self, kind: str, name: str) -> None:
        """Remove one hit of `name` that was counted just now."""
        hits = self._windows[kind].hits
        if hits.get(name, 0) > 0:
            hits[name] -= 1

    def _window(self, kind: str, number: int) -> _Window:
        window = self._windows.get(kind)
        if window is None or window.number != number:
            follows = window is not None and window.number == number - 1
            before = window.hits if window is not None and follows else {}
            window = self._windows[kind] = _Window(number, before=before)
        return window


def _until_allowed(previous: int, current: int, amount: int, seconds: int, elapsed: float) -> int:
    """Return the seconds until another hit is allowed, if there are no hits in between."""
    if current < amount:
        # int(previous * (1 - t / seconds)) + current < amount, solved for the moment t.
        moment = seconds * (1 - (amount - current) / previous)
    else:
        # In the next window, when the hits of this one count for less.
        moment = seconds + seconds * (1 - amount / current)
    # Rounded up to a whole second after that moment: at the moment itself it is still refused.
    return math.floor(moment - elapsed) + 1
