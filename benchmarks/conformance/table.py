"""The scores as a table, and the page that shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from benchmarks.page import replaced
from scripts.setup.checkout import CHECKOUT

PAGE: Final = CHECKOUT / "docs" / "comparison.md"
_CELLS: Final = {"pass": "yes", "fail": "**no**", "not applicable": "n/a"}


@dataclass(frozen=True)
class Report:
    """What the check wrote about one server: the score, and its verdict and expectation by row."""

    passed: int
    applicable: int
    verdicts: Mapping[str, str]
    expected: Mapping[str, str]

    @property
    def perfect(self) -> bool:
        """Whether every row that applies was passed."""
        return self.passed == self.applicable

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """Read the JSON of the check."""
        rows = document["rows"]
        return cls(
            document["passed"],
            document["applicable"],
            {row["name"]: row["verdict"] for row in rows},
            {row["name"]: row["expected"] for row in rows},
        )


def table(reports: Mapping[str, Report | str]) -> str:
    """Return a Markdown table: a column for each server, and the rows on which they differ.

    Rows that every server passed or that apply to none are named below.
    """
    found = {name: each for name, each in reports.items() if isinstance(each, Report)}
    missing = [f"{name}: {each}" for name, each in reports.items() if isinstance(each, str)]
    if not found:
        return "\n".join(missing)
    first = next(iter(found.values()))
    lines = [
        f"| Row | Expected | {' | '.join(found)} |",
        f"|---|---|{'---|' * len(found)}",
        f"| passed | | {' | '.join(f'{r.passed} of {r.applicable}' for r in found.values())} |",
    ]
    alike = []
    for row, expected in first.expected.items():
        verdicts = [report.verdicts[row] for report in found.values()]
        if "fail" in verdicts:
            cells = " | ".join(_CELLS[verdict] for verdict in verdicts)
            lines.append(f"| {row} | {expected} | {cells} |")
        elif "pass" in verdicts:
            alike.append(row)
    lines += ["", f"Passed by all to which they apply: {', '.join(alike)}."]
    return "\n".join([*lines, *(f"\n{each}." for each in missing)])


def write_page(reports: Mapping[str, Report | str]) -> None:
    """Replace what stands between the markers of the page."""
    day = datetime.now(UTC).date()
    block = f"\n`python -m benchmarks.conformance --write`, {day}.\n\n{table(reports)}\n"
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), block), encoding="utf-8")
