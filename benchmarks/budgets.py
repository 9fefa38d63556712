"""The budgets: what this service may cost, most of it as a ratio to Fastify in the same run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.contenders import FASTIFY, SERVICE, WORKERS
from benchmarks.limits import FEW, MANY
from benchmarks.samples import Results, Sample, Start

Measure = Callable[[Results], float | None]

# The requests whose latency is compared. A refusal has a budget for its CPU time alone, and Fastify
# ignores the header of create-once.
_COMPARED: Final = (
    *("list", "list-open", "get", "create", "create-9000", "patch", "put", "delete", "restore"),
    *("mixed", "cold"),
)


@dataclass(frozen=True)
class Budget:
    """An upper bound: above `must` a check fails; above `goal` the reason has to be written down.

    `measure` returns the figure, or None where the run did not measure it.
    """

    title: str
    must: float
    goal: float
    measure: Measure


@dataclass(frozen=True)
class Verdict:
    """A budget and what was measured."""

    budget: Budget
    measured: float | None

    @property
    def outcome(self) -> str:
        """Return what is kept (`goal`, or `must` alone), `missed` or `not measured`."""
        if self.measured is None:
            return "not measured"
        if self.measured <= self.budget.goal:
            return "goal"
        return "must" if self.measured <= self.budget.must else "missed"

    def as_json(self) -> dict[str, object]:
        """Return the verdict for machines."""
        budget = {"title": self.budget.title, "must": self.budget.must, "goal": self.budget.goal}
        return {**budget, "measured": self.measured, "outcome": self.outcome}


def judge(results: Results) -> list[Verdict]:
    """Compare everything that was measured with the budgets."""
    return [Verdict(budget, budget.measure(results)) for budget in BUDGETS]


def _ratio(kind: str, figure: Callable[[Sample], float]) -> Measure:
    """Return the measure of a ratio to Fastify."""

    def measure(results: Results) -> float | None:
        found = results.ratio(kind, SERVICE, FASTIFY, figure)
        return None if found is None else found.median

    return measure


def _unexpected(results: Results) -> float | None:
    """Count the answers that should not have been, of all kinds that were measured."""
    if not results.samples:
        return None
    return sum(results.unexpected(kind, SERVICE).total() for kind in results.samples)


def _of_start(
    server: str, figure: Callable[[Start], float | None]
) -> Callable[[Results], float | None]:
    """Return the measure of a figure of a server's starts."""

    def measure(results: Results) -> float | None:
        found = results.starts.get(server)
        return None if found is None else figure(found)

    return measure


def _workers(results: Results) -> float | None:
    found = results.ratio("list", WORKERS, SERVICE, _cpu)
    return None if found is None else found.median


def _creates(results: Results) -> float | None:
    """Compare a create of a user with many tasks to one of a user with few."""
    many, few = (results.spread(kind, SERVICE, _whole) for kind in ("create-9000", "create"))
    return None if many is None or few is None else many.median / few.median


def _hits(results: Results) -> float | None:
    if not results.hit_us:
        return None
    return results.hit_us[MANY] / results.hit_us[FEW]


def _cpu(sample: Sample) -> float:
    return sample.cpu_us


def _database(sample: Sample) -> float:
    return sample.database_us


def _whole(sample: Sample) -> float:
    return sample.cpu_us + sample.database_us


def _p99(sample: Sample) -> float:
    return sample.p99_ms


def _budgets() -> Iterator[Budget]:
    for kind, must, goal in (
        ("list", 0.85, 0.65),
        ("get", 0.8, 0.5),
        ("create", 0.85, 0.65),
        ("create-once", 1.3, 0.9),
        ("create-9000", 0.85, 0.65),
        ("patch", 0.85, 0.6),
        ("put", 0.85, 0.6),
        ("delete", 0.85, 0.6),
        ("restore", 0.85, 0.6),
        ("mixed", 0.85, 0.65),
        ("cold", 1.4, 1.2),
        ("bad-signature", 1.6, 1.4),
        ("garbage", 1.3, 1.0),
    ):
        yield Budget(f"CPU, {kind}", must, goal, _ratio(kind, _cpu))
    for kind in _COMPARED:
        yield Budget(f"p99, {kind}", 1.5, 1.0, _ratio(kind, _p99))
    for kind in ("list", "create", "patch"):
        yield Budget(f"PostgreSQL's CPU, {kind}", 2.0, 1.5, _ratio(kind, _database))
    # The same but for noise: one that counts the live tasks takes several times as long.
    yield Budget("create, 9,000 tasks x 100 tasks, with PostgreSQL", 1.3, 1.1, _creates)
    yield Budget("unexpected answers", 0, 0, _unexpected)
    yield Budget("two workers, CPU x one worker, list", 1.1, 1.05, _workers)
    yield Budget(
        "two workers, RSS of their parent, MB",
        40,
        40,
        _of_start(WORKERS, lambda s: s.first_megabytes),
    )
    # The same but for the processor's caches: one that walks over all clients takes 1,000 x.
    yield Budget("a rate-limit hit, 100,000 users x 100 users", 2.0, 1.2, _hits)
    yield Budget(
        "start to first good answer, s", 0.7, 0.5, _of_start(SERVICE, lambda s: median(s.seconds))
    )
    yield Budget("RSS at start, MB", 95, 80, _of_start(SERVICE, lambda s: s.megabytes))
    yield Budget(
        "RSS after 10,000 cold tokens, MB",
        120,
        105,
        _of_start(SERVICE, lambda s: s.after_cold_tokens),
    )


BUDGETS: Final = tuple(_budgets())
