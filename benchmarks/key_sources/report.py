"""The table, for a person and for machines, and whether our column holds what it has to."""

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final

from benchmarks.key_sources.contest import Entrant
from benchmarks.key_sources.plan import CROWD, LOAD_REQUESTS, OUTAGE_REQUESTS, Answers, Measured

MAX_STALL_MS: Final = 5.0
# A fetch that began a second after the last may arrive a little less than one after it.
_MIN_GAP_SECONDS: Final = 0.95
_HEADINGS: Final = (
    "",
    "loop stall, one fetch of 500 ms",
    f"fetches, {CROWD} cold (good answers)",
    f"fetches, {CROWD} unknown kids (answers)",
    f"good answers of {OUTAGE_REQUESTS} in an outage past TTL",
    f"good tokens not taken of {LOAD_REQUESTS}, rotation under load",
)


@dataclass(frozen=True, slots=True)
class Row:
    """What became of an entrant: what was measured or, where nothing was, why."""

    entrant: Entrant
    measured: Measured | None = None
    problem: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Give everything there is."""
        return {
            "name": self.entrant.name,
            "algorithm": self.entrant.algorithm,
            "https": self.entrant.https,
            "measured": None if self.measured is None else asdict(self.measured),
            "problem": self.problem,
        }


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Give the lines of a Markdown table and of the remarks under it."""
    rows = list(rows)
    yield f"| {' | '.join(_HEADINGS)} |"
    yield f"|{'---|' * len(_HEADINGS)}"
    for row in rows:
        yield f"| {' | '.join(_cells(row))} |"
    yield ""
    for row in rows:
        yield f"- {_remark(row)}"


def broken_bounds(ours: Row) -> Iterator[str]:
    """Say of each bound that our row did not hold that it did not."""
    measured = ours.measured
    if measured is None:
        yield f"{ours.entrant.name} {ours.problem}"
        return
    stall = statistics.median(measured.stalls)
    if stall >= MAX_STALL_MS:
        idle = statistics.median(measured.idle_stalls)
        yield f"the loop stalled for {stall:.1f} ms, bound {MAX_STALL_MS:.0f} (idle: {idle:.1f} ms)"
    if measured.cold_fetches != 1 or measured.cold != {"good": CROWD}:
        yield f"{CROWD} cold requests: {measured.cold_fetches} fetches, {measured.cold}"
    if measured.unknown_fetches != 1 or measured.unknown != {"refused": CROWD}:
        yield f"{CROWD} unknown kids: {measured.unknown_fetches} fetches, {measured.unknown}"
    fetches = measured.sequence_fetches or []
    if not fetches or any(
        later - earlier < _MIN_GAP_SECONDS for earlier, later in pairwise(fetches)
    ):
        yield f"unknown kids in sequence: more than a fetch a second, or none: {fetches}"
    for answers in (measured.outage_refused, measured.outage_failing):
        if answers != {"good": OUTAGE_REQUESTS}:
            yield f"outage: {answers} instead of {OUTAGE_REQUESTS} good answers"
    if measured.rotation != {"good": LOAD_REQUESTS}:
        yield f"rotation: {measured.rotation} instead of {LOAD_REQUESTS} good answers"


def _cells(row: Row) -> Iterator[str]:
    measured = row.measured
    if measured is None:
        yield row.entrant.name
        yield f"not measured: {row.problem}"
        yield from [""] * (len(_HEADINGS) - 2)
        return
    yield f"{row.entrant.name} {measured.version}"
    yield f"{statistics.median(measured.stalls):.1f} ms"
    yield f"{measured.cold_fetches} ({measured.cold.get('good', 0)})"
    yield f"{measured.unknown_fetches} ({_told(measured.unknown)})"
    yield _outage(measured)
    missed = LOAD_REQUESTS - measured.rotation.get("good", 0)
    told = _told({answer: n for answer, n in measured.rotation.items() if answer != "good"})
    yield f"{missed} ({told})" if missed else "0"


def _outage(measured: Measured) -> str:
    if measured.outage_refused is None or measured.outage_failing is None:
        return "no TTL to set"
    refused, failing = (
        answers.get("good", 0) for answers in (measured.outage_refused, measured.outage_failing)
    )
    return str(refused) if refused == failing else f"{refused} (500s: {failing})"


def _told(answers: Answers) -> str:
    return ", ".join(f"{count} {answer}" for answer, count in sorted(answers.items()))


def _remark(row: Row) -> str:
    entrant, measured = row.entrant, row.measured
    parts = [entrant.algorithm, "https" if entrant.https else "http"]
    if measured is not None:
        parts.append(f"Python {measured.python}")
        parts.append(f"idle loop {statistics.median(measured.idle_stalls):.1f} ms")
        if measured.sequence_fetches is not None:
            arrivals = ", ".join(f"{seconds:.1f}" for seconds in measured.sequence_fetches)
            parts.append(f"unknown kids in sequence: fetches at {arrivals} s")
    if entrant.remark:
        parts.append(entrant.remark)
    return f"{entrant.name}: {'; '.join(parts)}"
