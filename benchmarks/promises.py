"""Promises to good requests during an event, and whether they were kept.

A figure is the median of all repetitions. What happens during an event is compared with what
happened before and after it. The machine stalls a few times a second, and now and then for longer.
In ratios of single repetitions, a p99 of 2 ms had risen by half when nothing happened, and one
long stall decides the p99 of all latencies together.

A repetition in which the machine was too busy is not judged, because it shows nothing about the
service. A promise without a judged repetition is not kept. A refused good request breaks every
promise, also on a busy machine.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Final

_MOST_WITHOUT_CORE: Final = 0.1
_LATEST_MS: Final = 5.0


@dataclass(frozen=True)
class Event:
    """An event, and how much it may change the 99th percentile of good requests."""

    title: str
    promise: float | None
    """The greatest ratio of p99; None if the promise is only that no request is refused."""
    bad_per_second: int = 0
    unknown_kids: bool = False
    shared: bool = False
    """Whether the flood and the good requests come from the same address."""


EVENTS: Final = {
    "control": Event("nothing", None),
    "refresh": Event("JWKS is fetched", 1.2),
    "rotation": Event("all users change to a published key", 1.2),
    "writes": Event("5,000 rows like revocations, elsewhere", None),
    "revocations": Event("5,000 revocations", 1.2),
    "unknown-500": Event("500 unknown kids/s", 2.0, 500, unknown_kids=True),
    "bad-500": Event("500 bad signatures/s", 2.0, 500),
    "unknown-2000": Event("2,000 unknown kids/s", None, 2000, unknown_kids=True),
    "bad-2000": Event("2,000 bad signatures/s", None, 2000),
    "unknown-500-shared": Event(
        "500 unknown kids/s, one address", 2.0, 500, unknown_kids=True, shared=True
    ),
    "bad-500-shared": Event("500 bad signatures/s, one address", 2.0, 500, shared=True),
    "bad-2000-shared": Event("2,000 bad signatures/s, one address", None, 2000, shared=True),
}


@dataclass(frozen=True)
class Part:
    """One third of a repetition."""

    p50_ms: float
    p99_ms: float
    answers: int
    refused: dict[str, int]
    without_core: float
    """The part of the time in which the service was ready to run while others had its core."""
    late_ms: float
    """The 99th percentile of how late the load noticed that a request was due."""

    @property
    def disturbed(self) -> bool:
        """Whether the machine was too busy for these latencies to be the service's."""
        return self.without_core > _MOST_WITHOUT_CORE or self.late_ms > _LATEST_MS


def disturbed(parts: Iterable[Part]) -> bool:
    """Return whether the parts of a repetition cannot be compared."""
    return any(part.disturbed for part in parts)


def report(event: Event, repetitions: list[list[Part]], say: Callable[[str], object]) -> bool:
    """Pass one line to `say`, and return whether the promise was kept."""
    judged = [parts for parts in repetitions if not disturbed(parts)]
    columns = list(zip(*(judged or repetitions), strict=True))
    before, during, after = columns
    p50, p99 = (
        [median(getattr(part, figure) for part in column) for column in columns]
        for figure in ("p50_ms", "p99_ms")
    )
    usual = median(part.p99_ms for part in (*before, *after))
    ratio = median(part.p99_ms for part in during) / usual
    refused = Counter[str]()
    for part in itertools.chain.from_iterable(repetitions):
        refused.update(part.refused)
    # Refusals are judged on a busy machine, too.
    slow = event.promise is not None and ratio > event.promise
    unknown = event.promise is not None and not judged
    kept = not (refused or slow or unknown)
    verdict = "NOT JUDGED" if unknown and not refused else "kept" if kept else "NOT KEPT"
    promise = "no refusal" if event.promise is None else f"<= {event.promise}"
    say(
        f"{event.title:38} p50 {' '.join(f'{value:6.1f}' for value in p50)}"
        f"  p99 {' '.join(f'{value:6.1f}' for value in p99)}  ratio {ratio:5.2f}"
        f" ({promise}: {verdict}, {len(judged)} of {len(repetitions)} undisturbed)"
        f"  refused {dict(refused) or 0}"
    )
    return kept
