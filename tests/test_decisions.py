"""Decision records have numbers, one form, and a line in their index."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "decisions"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
FORM = re.compile(
    r"# (?P<number>\d{4}): (?P<title>.+)\n\n"
    r"Date: (?P<date>\d{4}-\d\d-\d\d)\. Status: (?P<status>accepted|replaced by \d{4})\.\n\n"
    r"## Context\n\n.+\n\n## Options\n\n.+\n"
    r"\n## Decision\n\n.+\n\n## Consequences\n\n.+\n",
    re.DOTALL,
)


def parsed(record: Path) -> re.Match[str]:
    found = FORM.fullmatch(record.read_text())
    assert found is not None, f"{record.name}: see 0001 for the form"
    return found


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_record_has_the_form_and_its_own_number(record: Path) -> None:
    assert record.name.startswith(f"{parsed(record)['number']}-")


def test_numbers_are_unique_and_every_record_has_one() -> None:
    numbers = [record.name[:4] for record in RECORDS]
    assert len(numbers) == len(set(numbers))
    assert {path.name for path in FOLDER.glob("*.md")} - {record.name for record in RECORDS} == {
        "README.md",
        "dependencies.md",
    }


def test_index_lists_every_record() -> None:
    index = (FOLDER / "README.md").read_text()
    lines = [line for line in index.splitlines() if re.match(r"\| \d{4} ", line)]
    assert lines == [
        f"| {found['number']} | [{found['title']}]({record.name}) | {found['date']}"
        f" | {found['status']} |"
        for record in RECORDS
        for found in [parsed(record)]
    ]
