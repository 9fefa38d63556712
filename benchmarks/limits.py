"""Measure what one rate-limit hit costs, with few clients and with many."""

import gc
import random
import statistics
import time
from typing import Final

from benchmarks.samples import Results
from service.security.local_counters import LocalCounters

FEW: Final = 100
MANY: Final = 100_000
_HITS: Final = 50_000
_ROUNDS: Final = 7


def measure_hits(results: Results) -> None:
    """Measure hits of random clients, in turns with few and with many of them."""
    counters = {count: _counters(count) for count in (FEW, MANY)}
    seconds: dict[int, list[float]] = {FEW: [], MANY: []}
    for _ in range(_ROUNDS):
        for count, known in counters.items():
            names = [_name(number) for number in random.choices(range(count), k=_HITS)]  # noqa: S311 - not secret
            gc.collect()
            began = time.process_time()
            for name in names:
                known.hit("user", name, 1_000_000, 86_400)
            seconds[count].append((time.process_time() - began) / _HITS)
    results.hit_us = {count: statistics.median(found) * 1e6 for count, found in seconds.items()}


def _counters(count: int) -> LocalCounters:
    known = LocalCounters()
    for number in range(count):
        known.hit("user", _name(number), 1_000_000, 86_400)
    return known


def _name(number: int) -> str:
    """Return a name that is a string of its own, as one that was read from a token."""
    return f"issuer:user-{number}"
