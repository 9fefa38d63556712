"""What a drill is, and what it returns."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from scripts.proofs.drills.system.ledger import Ledger
from scripts.proofs.drills.system.stage import Stage

KEPT: Final = "kept"
NOT_KEPT: Final = "NOT KEPT"
NOT_RUN: Final = "not run"


class NotRunError(Exception):
    """The drill needs a program or a right that is not there. The message names it."""


@dataclass
class Seen:
    """What a drill saw. It is kept if nothing is in `broken`."""

    facts: list[str] = field(default_factory=list)
    """What was observed, in short phrases."""
    broken: list[str] = field(default_factory=list)
    """Each promise that was not kept, in short phrases."""
    requests: int = 0
    lost: int = 0
    duplicated: int = 0

    def fact(self, text: str) -> None:
        """Add an observation."""
        self.facts.append(text)

    def require(self, kept: object, broken: str) -> None:
        """Add `broken` to the promises that were not kept, unless `kept` is true."""
        if not kept:
            self.broken.append(broken)

    def count(self, ledger: Ledger) -> None:
        """Add the requests of a ledger that was compared, and what was wrong in it."""
        self.requests += ledger.requests
        self.lost += len(ledger.lost)
        self.duplicated += len(ledger.duplicated)
        self.broken += ledger.broken()


Run: TypeAlias = Callable[[Stage], Awaitable[Seen]]


@dataclass(frozen=True)
class Drill:
    """A drill, for rows of docs/faults.md. A part of a proof may have none."""

    rows: tuple[int, ...]
    title: str
    promised: str
    run: Run
    seconds: float = 120.0
    """After so many seconds, the drill is stopped and counts as not kept."""

    @property
    def numbers(self) -> str:
        """The rows, for people."""
        return ", ".join(map(str, self.rows))

    @property
    def name(self) -> str:
        """The rows and the title."""
        return f"{self.numbers} {self.title}".lstrip()


@dataclass(frozen=True)
class Result:
    """A drill that has ended."""

    drill: Drill
    seen: Seen
    verdict: str
    seconds: float
