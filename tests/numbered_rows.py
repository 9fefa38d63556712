"""Documents whose rows are numbered, and the tests that carry these numbers."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
TESTS: Final = ROOT / "tests"
_ROW: Final = re.compile(r"\| (?P<number>\d+) \| .* \| (?P<shown>[^|]*) \|")
_PLACE: Final = re.compile(r"`((?:\w+/)*test_\w+\.py)`")
# They name rows in order to check the documents, not to show a behaviour.
_CHECKERS: Final = {TESTS / "test_conformance_table.py", TESTS / "test_fault_table.py"}


@dataclass(frozen=True)
class NumberedRows:
    """The rows of one document: `document` in the repository, `word` in the ids of its tests.

    With the word "row", a test or a case whose id has `row07` in it shows row 7. The last column
    of a row names the files of these tests, or, in words, what is planned.
    """

    document: str
    word: str

    def last_cells(self) -> dict[int, str]:
        """Return the last cell of each row, in the document's order."""
        lines = (ROOT / self.document).read_text().splitlines()
        rows = [match for line in lines if (match := _ROW.fullmatch(line))]
        cells = {int(row["number"]): row["shown"] for row in rows}
        assert len(cells) == len(rows), f"{self.document}: a number occurs twice"
        return cells

    def documented(self) -> dict[int, set[str]]:
        """Return the test files that the document names beside each row."""
        return {number: set(_PLACE.findall(cell)) for number, cell in self.last_cells().items()}

    def shown(self) -> dict[int, set[str]]:
        """Return the test files that carry each row's number."""
        found: dict[int, set[str]] = {}
        for path in TESTS.rglob("test_*.py"):
            if path in _CHECKERS:
                continue
            for number in re.findall(rf"{self.word}(\d\d)[ _:]", path.read_text()):
                found.setdefault(int(number), set()).add(path.relative_to(TESTS).as_posix())
        return found

    def tested(self) -> dict[int, set[str]]:
        """Return the rows that name test files, with these files."""
        return {number: places for number, places in self.documented().items() if places}

    def without_a_test(self) -> dict[int, str]:
        """Return the last cell of each row that names no test file."""
        tested = self.tested()
        return {number: cell for number, cell in self.last_cells().items() if number not in tested}
