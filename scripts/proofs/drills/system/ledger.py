"""The ledger: every write that was acknowledged, compared with the database at the end.

A write whose answer was lost is decided by another request before the next write. A write that is
still undecided at the end may be in the database, but not twice.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from scripts.proofs.drills.system.traffic import Traffic


@dataclass
class Known:
    """A task as its user knows it. The mark was given to it when it was created, and stays."""

    mark: str
    title: str
    version: int
    deleted: bool = False
    open_title: str | None = None
    """The title of a change that is undecided."""
    open_deletion: bool = False


@dataclass(frozen=True)
class Row:
    """A task as the database has it."""

    id: str
    mark: str
    title: str
    version: int
    deleted: bool


@dataclass
class Book:
    """The writes of one user."""

    user: str
    tasks: dict[str, Known] = field(default_factory=dict)
    """Acknowledged tasks by id."""
    open_marks: set[str] = field(default_factory=set)
    """Marks of creations that are undecided."""
    live: list[str] = field(default_factory=list)
    """Ids of the tasks that were not deleted."""


@dataclass
class Ledger:
    """The writes of all clients of a drill, and their traffic."""

    books: list[Book] = field(default_factory=list)
    traffic: Traffic = field(default_factory=Traffic)
    wrong: Counter[str] = field(default_factory=Counter)
    """Answers that no good request may get."""
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """The number of requests that were sent."""
        return self.traffic.requests

    @property
    def acknowledged(self) -> int:
        """The number of tasks whose creation was acknowledged."""
        return sum(len(book.tasks) for book in self.books)

    def compare(self, rows: Mapping[str, Iterable[Row]]) -> None:
        """Compare the writes with the rows of each user in the database."""
        for book in self.books:
            self._compare(book, list(rows.get(book.user, ())))

    def broken(self) -> list[str]:
        """Return the promises that were not kept, in short phrases."""
        found = [f"lost: {self.lost[0]} (and {len(self.lost) - 1} more)"] if self.lost else []
        if self.duplicated:
            found.append(f"duplicated: {self.duplicated[0]} (and {len(self.duplicated) - 1} more)")
        found += [f"{count} x {what}" for what, count in self.wrong.items()]
        if self.traffic.without_retry_after:
            found.append(f"{self.traffic.without_retry_after} x 503 without Retry-After")
        return found

    def _compare(self, book: Book, rows: list[Row]) -> None:
        by_id = {row.id: row for row in rows}
        for task_id, known in book.tasks.items():
            row = by_id.get(task_id)
            if row is None:
                self.lost.append(f"task {known.mark} is not in the database")
            elif reason := _difference(known, row):
                self.lost.append(f"task {known.mark}: {reason}")
        marks = Counter(row.mark for row in rows)
        self.duplicated += [f"{mark}, {count} times" for mark, count in marks.items() if count > 1]
        ours = {known.mark for known in book.tasks.values()} | book.open_marks
        self.duplicated += [
            f"{mark}, which no client created" for mark in marks if mark not in ours
        ]


def _difference(known: Known, row: Row) -> str | None:
    if row.deleted and not (known.deleted or known.open_deletion):
        return "is deleted, and no client deleted it"
    if known.deleted:
        return None if row.deleted else "was deleted, and is there again"
    if row.title not in (known.title, known.open_title):
        return f"has the title {row.title!r} instead of {known.title!r}"
    steps = (known.open_title is not None) + known.open_deletion
    if not known.version <= row.version <= known.version + steps:
        return f"has version {row.version} instead of {known.version}"
    return None
