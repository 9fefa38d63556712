"""What is measured, and how many measurements become one figure."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field

from benchmarks.load import Outcome


@dataclass(frozen=True)
class Sample:
    """One measurement of one kind of request on one server."""

    answers: int
    per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    database_us: float
    load_share: float
    """How much of its core the load took, with PostgreSQL."""
    unexpected: dict[str, int]

    @classmethod
    def of(cls, outcome: Outcome, *, server: float, database: float) -> "Sample":
        """Judge an outcome by the processor seconds that the server and PostgreSQL spent on it."""
        answers, seconds = max(1, outcome.answers), max(1e-9, outcome.seconds)
        latencies = sorted(outcome.latencies) or [0.0]
        return cls(
            answers=outcome.answers,
            per_second=outcome.answers / seconds,
            p50_ms=percentile(latencies, 50) * 1e3,
            p99_ms=percentile(latencies, 99) * 1e3,
            cpu_us=server / answers * 1e6,
            database_us=database / answers * 1e6,
            load_share=(outcome.busy_seconds + database) / seconds,
            unexpected=dict(outcome.unexpected),
        )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` percent of the ordered values do not exceed."""
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(0, int(rank) - 1)]


@dataclass(frozen=True)
class Spread:
    """The median of several measurements, with the least and the greatest."""

    median: float
    least: float
    greatest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        """Summarise values, of which there must be one."""
        known = sorted(values)
        return cls(statistics.median(known), known[0], known[-1])


@dataclass
class Start:
    """Starts of one server, and its memory."""

    seconds: list[float] = field(default_factory=list)
    megabytes: float = 0.0
    """Of all of its processes together."""
    first_megabytes: float = 0.0
    """Of its first process: with several workers, the one that supervises them."""
    after_cold_tokens: float | None = None


@dataclass
class Results:
    """All samples of a run: by kind and server, one a round."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    starts: dict[str, Start] = field(default_factory=dict)
    hit_us: dict[int, float] = field(default_factory=dict)
    """What one rate-limit hit costs, by the number of clients that are counted."""
    python: str = ""
    """The version of the servers in Python."""

    def add(self, kind: str, server: str, sample: Sample) -> None:
        """Add a sample."""
        self.samples.setdefault(kind, {}).setdefault(server, []).append(sample)

    def start(self, server: str) -> Start:
        """Return what is known of a server's starts."""
        return self.starts.setdefault(server, Start())

    def spread(self, kind: str, server: str, figure: Callable[[Sample], float]) -> Spread | None:
        """Summarise one figure of one kind on one server."""
        found = [sample for sample in self._of(kind, server) if sample.answers]
        return Spread.of(map(figure, found)) if found else None

    def ratio(
        self, kind: str, server: str, base: str, figure: Callable[[Sample], float]
    ) -> Spread | None:
        """Summarise the ratio to another server, round by round: noise meets both alike."""
        pairs = zip(self._of(kind, server), self._of(kind, base), strict=False)
        ratios = [
            figure(ours) / figure(theirs)
            for ours, theirs in pairs
            if ours.answers and theirs.answers and figure(theirs)
        ]
        return Spread.of(ratios) if ratios else None

    def unexpected(self, kind: str, server: str) -> Counter[str]:
        """Count the answers that should not have been, by status."""
        total: Counter[str] = Counter()
        for sample in self._of(kind, server):
            total.update(sample.unexpected)
            if not sample.answers:
                total["no answer"] += 1
        return total

    def as_json(self) -> dict[str, object]:
        """Return everything for machines."""
        return asdict(self)

    def _of(self, kind: str, server: str) -> list[Sample]:
        return self.samples.get(kind, {}).get(server, [])
