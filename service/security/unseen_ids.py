"""Which rows of a table may be new: the ids that have not been seen yet, as ranges.

Ids are handed out before a transaction commits, so a smaller id can become visible after a greater
one. No time stamp and no greatest id tells what is new. So every id that was passed over is asked
for again, until it is seen or so old that its transaction must have been rolled back.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

LONGEST_TRANSACTION: Final = 300.0
"""For how many seconds an id that was passed over is asked for."""
MAX_RANGES: Final = 1_000
_GREATEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Range:
    first: int
    last: int
    passed_over_at: float


class UnseenIds:
    """The ids that may still become visible. `clock` returns seconds and never jumps."""

    def __init__(self, after: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = after + 1
        self._passed_over: list[_Range] = []

    def ranges(self) -> tuple[list[int], list[int]]:
        """Return the first and the last ids of the ranges; the last range has no end."""
        oldest = self._clock() - LONGEST_TRANSACTION
        self._passed_over = [gap for gap in self._passed_over if gap.passed_over_at > oldest]
        firsts, lasts = [], []
        for gap in self._passed_over:
            firsts.append(gap.first)
            lasts.append(gap.last)
        return [*firsts, self._next], [*lasts, _GREATEST]

    def see(self, ids: Iterable[int]) -> None:
        """Remove ids, of those in `ranges()`."""
        now = self._clock()
        seen = sorted(ids)
        gaps: list[_Range] = []
        position = 0
        for gap in (*self._passed_over, _Range(self._next, _GREATEST, now)):
            first = gap.first
            while position < len(seen) and seen[position] <= gap.last:
                if seen[position] > first:
                    gaps.append(_Range(first, seen[position] - 1, gap.passed_over_at))
                first = seen[position] + 1
                position += 1
            if gap.last == _GREATEST:
                self._next = first
            elif first <= gap.last:
                gaps.append(_Range(first, gap.last, gap.passed_over_at))
        if len(gaps) > MAX_RANGES:
            # One range over all of them: some rows are read once more, and none is missed.
            gaps = [_Range(gaps[0].first, gaps[-1].last, now)]
        self._passed_over = gaps
