"""What the clients of a drill saw: statuses, latencies, and the longest time without an answer."""

import time
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from scripts.proofs.drills.system.connection import CLOSED, Answer

_GOOD_BELOW: Final = 400
_REFUSED: Final = frozenset({429, 503})


@dataclass
class Traffic:
    """Statuses and latencies. Good answers and refusals (429 and 503) are kept apart."""

    statuses: Counter[str] = field(default_factory=Counter)
    good_seconds: "array[float]" = field(default_factory=lambda: array("d"))
    refused_seconds: "array[float]" = field(default_factory=lambda: array("d"))
    without_retry_after: int = 0
    """503 answers without the header Retry-After."""
    longest_stall: float = 0.0
    """The longest time without a good answer to any client, while requests were under way."""
    _last_good: float | None = None

    @property
    def requests(self) -> int:
        """The number of requests that were sent."""
        return self.statuses.total()

    def count(self, answer: Answer | None, failure: str = CLOSED) -> None:
        """Count an answer, or how the request failed."""
        if answer is None:
            self.statuses[failure] += 1
            return
        self.statuses[str(answer.status)] += 1
        if answer.status < _GOOD_BELOW:
            self.good_seconds.append(answer.seconds)
            now = time.monotonic()
            if self._last_good is not None:
                self.longest_stall = max(self.longest_stall, now - self._last_good)
            self._last_good = now
        elif answer.status in _REFUSED:
            self.refused_seconds.append(answer.seconds)
            self.without_retry_after += (
                answer.status == HTTPStatus.SERVICE_UNAVAILABLE and answer.retry_after is None
            )

    def refusals(self) -> str:
        """Return the statuses of 400 and more, and lost connections, for people."""
        bad = {name: n for name, n in self.statuses.items() if not name.startswith(("2", "3"))}
        return ", ".join(f"{n} x {name}" for name, n in sorted(bad.items())) or "no refusals"


def percentile(seconds: Iterable[float], percent: float) -> float:
    """Return a percentile, or 0 of nothing."""
    ordered = sorted(seconds)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def milliseconds(seconds: float) -> str:
    """Return a duration for people."""
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
