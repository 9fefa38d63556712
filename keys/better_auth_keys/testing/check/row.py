"""A row of the check: what is expected of a server, and the function that finds out."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from better_auth_keys.testing.check.stand import Stand


class Verdict(StrEnum):
    """What a row says about the server."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict, and what was seen."""

    verdict: Verdict
    seen: str
    advice: str | None = None
    """Why no good token may have been accepted, and what to do."""

    @classmethod
    def of(cls, good: bool, seen: str) -> "Outcome":  # noqa: FBT001 - the condition is the argument
        """Return a pass if `good`, and else a failure."""
        return cls(Verdict.PASS if good else Verdict.FAIL, seen)


def not_applicable(why: str) -> Outcome:
    """Return the outcome of a row that says nothing about this server."""
    return Outcome(Verdict.NOT_APPLICABLE, why)


@dataclass(frozen=True, slots=True)
class Row:
    """One behaviour. `source` is its row in docs/conformance.md, or where it is required."""

    name: str
    source: str
    expected: str
    check: Callable[[Stand], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Result:
    """A row, with what it found."""

    row: Row
    outcome: Outcome
