"""docs/conformance.md and the tests name the same rows in the same places."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
ROW = re.compile(r"\| (?P<number>\d+) \| .* \| (?P<shown>[^|]*) \|")
LATER = {38}


def documented() -> dict[int, set[str]]:
    lines = (ROOT / "docs/conformance.md").read_text().splitlines()
    rows = [match for line in lines if (match := ROW.fullmatch(line))]
    return {
        int(row["number"]): set(re.findall(r"`((?:\w+/)*test_\w+\.py)`", row["shown"]))
        for row in rows
    }


def shown() -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        if path == Path(__file__):
            continue
        for number in re.findall(r"row(\d\d)[ _]", path.read_text()):
            found.setdefault(int(number), set()).add(path.relative_to(TESTS).as_posix())
    return found


def test_table_has_every_row_once_in_order() -> None:
    assert list(documented()) == list(range(1, 50))


def test_table_and_tests_name_the_same_rows_in_the_same_places() -> None:
    assert {number: places for number, places in documented().items() if places} == shown()


def test_only_rows_of_a_later_issue_are_not_tested() -> None:
    assert {number for number, places in documented().items() if not places} == LATER
