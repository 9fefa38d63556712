"""The results as text, JSON and JUnit's XML."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

from better_auth_keys.testing.check.row import Result, Verdict

_NAME_WIDTH: Final = 18


@dataclass(frozen=True, slots=True)
class Score:
    """How many of the rows that apply were passed."""

    passed: int
    applicable: int
    not_applicable: int

    @classmethod
    def of(cls, results: Sequence[Result]) -> "Score":
        """Count the verdicts."""
        verdicts = [result.outcome.verdict for result in results]
        without = verdicts.count(Verdict.NOT_APPLICABLE)
        return cls(verdicts.count(Verdict.PASS), len(verdicts) - without, without)

    @property
    def perfect(self) -> bool:
        """Whether every row that applies was passed."""
        return self.passed == self.applicable

    def __str__(self) -> str:
        """Return the score for people."""
        return (
            f"{self.passed} of {self.applicable} rows passed; {self.not_applicable} not applicable"
        )


def line_of(result: Result) -> str:
    """Return the line of a row: verdict, name, what was expected and what was seen."""
    row, outcome = result.row, result.outcome
    verdict = {"not applicable": "n/a"}.get(outcome.verdict, outcome.verdict)
    return f"{verdict:<5}{row.name:<{_NAME_WIDTH}} expected: {row.expected}; seen: {outcome.seen}"


def as_json(target: str, results: Sequence[Result]) -> dict[str, object]:
    """Return the results for machines."""
    score = Score.of(results)
    return {
        "target": target,
        "passed": score.passed,
        "applicable": score.applicable,
        "rows": [
            {
                "name": result.row.name,
                "source": result.row.source,
                "expected": result.row.expected,
                "seen": result.outcome.seen,
                "verdict": str(result.outcome.verdict),
            }
            for result in results
        ],
    }


def as_junit(target: str, results: Sequence[Result]) -> bytes:
    """Return the results as an XML document that CI systems show."""
    score = Score.of(results)
    suite = ET.Element(
        "testsuite",
        name="check-resource-server",
        tests=str(len(results)),
        failures=str(score.applicable - score.passed),
        skipped=str(score.not_applicable),
    )
    for result in results:
        case = ET.SubElement(suite, "testcase", classname=target, name=result.row.name)
        message = f"expected: {result.row.expected}; seen: {result.outcome.seen}"
        if result.outcome.verdict is Verdict.FAIL:
            ET.SubElement(case, "failure", message=message)
        elif result.outcome.verdict is Verdict.NOT_APPLICABLE:
            ET.SubElement(case, "skipped", message=result.outcome.seen)
    document: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return document
