"""docs/standards/ has a row for each requirement, and each row a test that exists or a reason."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.numbered_rows import ROOT, TESTS

FOLDER: Final = ROOT / "docs" / "standards"
PAGES: Final = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
_ROW: Final = re.compile(
    r"\| (?P<number>\d[\w.-]*) \| (?P<what>[^|]+) \| (?P<result>[^|]+) \|(.*)\|"
)
_TEST: Final = re.compile(r"`((?:\w+/)*test_\w+\.py)::(test_\w+)`")
_LINK: Final = re.compile(r"\]\(([^)#]+)(?:#[\w-]+)?\)")
RESULTS: Final[Mapping[str, tuple[bool, bool]]] = {
    "met": (True, False),
    "partly": (True, True),
    "documented": (False, True),
    "not tested": (False, True),
    "missing": (False, True),
    "not applicable": (False, True),
}
"""Whether a row with the result needs a test, and whether it needs a text."""
# The number of requirements in each section of ASVS 5.0.0: 345 in all.
ASVS: Final[Mapping[int, Sequence[int]]] = {
    1: (2, 10, 12, 3, 3),
    2: (3, 3, 5, 2),
    3: (1, 3, 5, 8, 8, 1, 5),
    4: (5, 5, 2, 4),
    5: (1, 6, 3, 3),
    6: (3, 12, 8, 6, 8, 4, 2, 4),
    7: (3, 4, 2, 5, 3, 2),
    8: (4, 4, 3, 2),
    9: (3, 4),
    10: (2, 3, 5, 16, 5, 2, 3),
    11: (4, 5, 5, 4, 2, 2, 2),
    12: (5, 2, 5),
    13: (4, 6, 4, 7),
    14: (2, 8, 3),
    15: (5, 5, 7, 4),
    16: (1, 5, 4, 3, 4),
    17: (2, 8, 2),
}


@dataclass(frozen=True)
class Row:
    """One requirement: its number, the result, and the cell that names tests or a reason."""

    number: str
    result: str
    cell: str

    def tests(self) -> list[tuple[str, str]]:
        """Return the named tests: file and function."""
        return _TEST.findall(self.cell)

    def text(self) -> str:
        """Return what the cell says besides the names of tests."""
        return _TEST.sub("", self.cell).strip(" .,")


def rows_of(page: Path) -> list[Row]:
    """Return the rows of a page. Each line of its tables is a head, a rule or a row."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    rows = []
    for line in lines:
        if line.startswith(("| # |", "|---")):
            continue
        match = _ROW.fullmatch(line)
        assert match is not None, f"{page.name}: not a row: {line}"
        rows.append(Row(match["number"], match["result"], match[4].strip()))
    return rows


def without_what_they_need(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the numbers of rows that lack a test or a text which their result needs."""
    for row in rows:
        needs_test, needs_text = RESULTS[row.result]
        if needs_test != bool(row.tests()) or (needs_text and len(row.text()) < len("See 1.1.1")):
            yield row.number


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_row_has_a_test_or_a_reason(page: Path) -> None:
    rows = rows_of(page)
    assert {row.result for row in rows} <= RESULTS.keys()
    assert list(without_what_they_need(rows)) == []
    numbers = [row.number for row in rows]
    assert len(numbers) == len({*numbers})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_named_tests_and_documents_exist(page: Path) -> None:
    named = {test for row in rows_of(page) for test in row.tests()}
    sources = {file: (TESTS / file).read_text() for file, _ in named if (TESTS / file).is_file()}
    absent = [(file, name) for file, name in named if f"def {name}(" not in sources.get(file, "")]
    assert absent == []
    links = [link for link in _LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (FOLDER / link).is_file()] == []
    assert [
        row.number
        for row in rows_of(page)
        if row.result == "documented" and not _LINK.search(row.cell)
    ] == []


def test_each_requirement_of_asvs_has_a_row() -> None:
    listed = [row.number for page in PAGES if page.stem.startswith("asvs") for row in rows_of(page)]
    expected = []
    for chapter, sizes in ASVS.items():
        for section, size in enumerate(sizes, 1):
            name = f"{chapter}.{section}"
            # A section that does not apply has one row.
            every = [f"{name}.{number}" for number in range(1, size + 1)]
            expected += [name] if name in listed else every
    assert sorted(listed) == sorted(expected)


def test_page_with_an_invented_test_or_without_a_reason_is_noticed() -> None:
    rows = [
        Row("1", "met", "The code does it."),
        Row("2", "partly", "`test_standards.py::test_row_has_a_test_or_a_reason`"),
        Row("3", "missing", ""),
        Row("4", "not applicable", "There is none."),
        Row("5", "missing", "`test_standards.py::test_row_has_a_test_or_a_reason`. Not all."),
    ]
    assert list(without_what_they_need(rows)) == ["1", "2", "3", "5"]


def test_index_names_every_page_and_result() -> None:
    index = (FOLDER / "README.md").read_text()
    assert [page.name for page in PAGES if f"({page.name})" not in index] == []
    assert [result for result in RESULTS if f"| {result} |" not in index] == []
