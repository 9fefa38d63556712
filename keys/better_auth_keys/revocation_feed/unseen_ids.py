"""Which rows of a table may be new: the ids that have not been seen yet, as ranges.

1. Ids are handed out before a transaction commits, so a smaller id can become visible after a
   greater one. Neither a time stamp nor the greatest id shows what is new. So every id that was
   passed over is asked for again until it is seen, or until its transaction has certainly ended
   without it.
2. A transaction gets its own number when it writes its row, a moment after it got the row's id. So
   `SETTLE_SECONDS` after an id was passed over, every transaction that may have it has a number
   below the next one. If none of these is running any more, and the row is still not visible, it
   was rolled back.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

SETTLE_SECONDS: Final = 300.0
"""For how many seconds an id that was passed over is asked for without looking at transactions."""
MAX_RANGES: Final = 1_000
_GREATEST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Range:
    first: int
    last: int
    passed_over_at: float
    before_transaction: int | None = None
    """Transactions from this number on have none of the ids; None until `SETTLE_SECONDS` passed."""


class UnseenIds:
    """The ids that may still become visible. `clock` returns seconds and never jumps."""

    def __init__(self, after: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next = after + 1
        self._passed_over: list[_Range] = []

    @property
    def first(self) -> int:
        """The smallest id that may still become visible."""
        return self._passed_over[0].first if self._passed_over else self._next

    @property
    def overdue(self) -> bool:
        """Whether ids have been passed over for so long that `settle` should be called."""
        return any(self._is_overdue(gap) for gap in self._passed_over)

    def settle(self, *, oldest_running: int, next_transaction: int) -> None:
        """Forget overdue ids whose transactions have ended.

        The numbers are those of `pg_current_snapshot()` (xmin and xmax). Read them before the rows
        of the last `see`, so that a row that is committed in between is not missed.
        """
        kept: list[_Range] = []
        for gap in self._passed_over:
            if not self._is_overdue(gap):
                kept.append(gap)
            elif gap.before_transaction is None:
                kept.append(replace(gap, before_transaction=next_transaction))
            elif oldest_running < gap.before_transaction:
                kept.append(gap)
        self._passed_over = kept

    def ranges(self) -> tuple[list[int], list[int]]:
        """Return the first and the last ids of the ranges; the last range has no end."""
        firsts = [gap.first for gap in self._passed_over]
        lasts = [gap.last for gap in self._passed_over]
        return [*firsts, self._next], [*lasts, _GREATEST]

    def see(self, ids: Iterable[int]) -> None:
        """Remove ids that are in `ranges()`. The greatest visible ids can be omitted."""
        now = self._clock()
        seen = sorted(ids)
        gaps: list[_Range] = []
        position = 0
        for gap in (*self._passed_over, _Range(self._next, _GREATEST, now)):
            first = gap.first
            while position < len(seen) and seen[position] <= gap.last:
                if seen[position] > first:
                    gaps.append(replace(gap, first=first, last=seen[position] - 1))
                first = seen[position] + 1
                position += 1
            if gap.last == _GREATEST:
                self._next = first
            elif first <= gap.last:
                gaps.append(replace(gap, first=first))
        if len(gaps) > MAX_RANGES:
            # One range over all of them: some rows are read once more, and none is missed.
            gaps = [_Range(gaps[0].first, gaps[-1].last, now)]
        self._passed_over = gaps

    def _is_overdue(self, gap: _Range) -> bool:
        return gap.passed_over_at <= self._clock() - SETTLE_SECONDS
