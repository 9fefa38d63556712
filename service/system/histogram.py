"""`Histogram`: the client library's, with a cheaper `observe`.

Each request observes two durations. The library's own method compares a value with one bound after
the other, and checks each time whether the histogram has labels that are missing.
"""

from bisect import bisect_left
from typing import Protocol

import prometheus_client


class _Value(Protocol):
    """A number of the library's, in this process or in a file that all workers read."""

    def inc(self, amount: float) -> None:
        """Add to the number."""
        ...


class Histogram(prometheus_client.Histogram):
    """A histogram. If it has labels, call `observe` on what `labels` returns."""

    # The library's own attributes, which it sets for each combination of labels.
    _sum: _Value
    _buckets: list[_Value]
    _upper_bounds: list[float]

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Count a value in the first bucket whose bound it does not exceed."""
        if exemplar is not None:
            raise TypeError("exemplars are not supported")
        self._sum.inc(amount)
        self._buckets[bisect_left(self._upper_bounds, amount)].inc(1)
