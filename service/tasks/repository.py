"""`TaskRepository`: the tasks of one owner. Every task query starts from its owner.

Each operation is one statement and one round trip, except `delete_all`, a transaction. Lists and
gets are queries, changes call the functions in `functions.py` and `creation.py`. The result is None
for another user's task, a deleted task and a task that does not exist.

The statements of lists are in `listing.py`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import uuid_utils.compat as uuid_utils

from service.database.execution import AnyRow, Database
from service.database.identity import IDENTITY_PARAMETER, as_owner
from service.database.statements import Statement, Step
from service.database.turns import OwnerBusyError
from service.security.owner import Owner
from service.tasks import calls
from service.tasks.cursor import Position
from service.tasks.errors import (
    IdempotencyInFlightError,
    IdempotencyMismatchError,
    SearchBusyError,
    StaleVersionError,
    TaskError,
    TaskLimitError,
)
from service.tasks.first_wall import COLUMNS, LIVE, owned
from service.tasks.listing import page_statement
from service.tasks.query import TaskQuery
from service.tasks.schemas import Task, TaskWrite

DEFAULT_MAX_TASKS: Final = 10_000

_GET: Final = Statement(
    as_owner(
        f"SELECT {COLUMNS} FROM public.tasks"  # noqa: S608 - constants
        f" WHERE {owned()} AND tasks.id = :task_id::uuid AND {LIVE} LIMIT 1"
    ),
    reads_only=True,
)
_CREATE: Final = calls.CREATE.statement()
_CREATE_ONCE: Final = calls.CREATE_ONCE.statement()
_CHANGE: Final = calls.CHANGE.statement()
_DELETE: Final = calls.DELETE.statement()
_RESTORE: Final = calls.RESTORE.statement()
_ME: Final = f":{IDENTITY_PARAMETER}::text"
_DELETE_ALL: Final = Statement(
    "UPDATE public.tasks SET deleted_at = now(), version = tasks.version + 1"  # noqa: S608 - constants
    f" WHERE {owned(owner=_ME)} AND {LIVE}"
)
# An INSERT even if there are no tasks yet: it waits for a first task that is being created.
_COUNT_NONE: Final = Statement(
    f"INSERT INTO public.task_counts (owner_id, live) VALUES ({_ME}, 0)"  # noqa: S608 - constants
    f" ON CONFLICT (owner_id) DO UPDATE SET live = 0 WHERE {owned('task_counts', _ME)}"
)

_WRITABLE: Final = tuple(TaskWrite.model_fields)
_NEW: Final = tuple(f"new_{name}" for name in _WRITABLE)

_REFUSALS: Final[Mapping[str, type[TaskError]]] = {
    "stale": StaleVersionError,
    "limit": TaskLimitError,
    "mismatch": IdempotencyMismatchError,
    "in_flight": IdempotencyInFlightError,
}


@dataclass(frozen=True, slots=True)
class FoundPage:
    """The tasks of a page, and the position after which the next page starts (None on the last).

    A page with filters can have fewer tasks than requested, or none, and still a next page.
    """

    tasks: list[Task]
    next: Position | None


class TaskRepository:
    """The tasks of one owner, who may have up to `max_tasks` live tasks.

    Changes are announced under `tag`; without one, they are not announced.
    """

    def __init__(
        self,
        database: Database,
        owner: Owner,
        *,
        max_tasks: int = DEFAULT_MAX_TASKS,
        tag: str | None = None,
    ) -> None:
        self._database = database
        self._owner = owner
        self._max_tasks = max_tasks
        self._tag = tag

    async def list_page(
        self, query: TaskQuery, *, limit: int, after: Position | None = None
    ) -> FoundPage:
        """Return up to `limit` tasks that match the query, starting after `after`.

        Raises `SearchBusyError`.
        """
        filters = dict(query.filters)
        statement = page_statement(query.sort, frozenset(filters), further=after is not None)
        is_search = "q" in filters
        if is_search:
            filters["q"] = _containing(filters["q"])
        position = {} if after is None else {"after_key": after.key, "after_id": after.id}
        # Request one more task to find out whether there is a next page.
        parameters = {**filters, **position, "limit": limit + 1}
        run = self._database.run_in_turn if is_search else self._database.run
        try:
            rows = await run(self._owner, statement, parameters)
        except OwnerBusyError:
            raise SearchBusyError from None
        # COLUMNS are the fields of Task, in their order.
        if not filters:
            found, last = [Task(*row) for row in rows], None
        else:
            found = [Task(*columns) for *columns, matches, _ in rows if matches]
            last = Task(*rows[-1][:-2]) if rows and rows[-1]["is_last"] else None
        if len(found) > limit:
            found, last = found[:limit], found[limit - 1]
        return FoundPage(found, None if last is None else _position(last, query))

    async def get(self, task_id: UUID) -> Task | None:
        """Return one task."""
        rows = await self._database.run(self._owner, _GET, {"task_id": task_id})
        return Task(*rows[0]) if rows else None

    async def create(self, task: TaskWrite) -> Task:
        """Create a task with a new version-7 id. Raises `TaskLimitError`."""
        _, columns = await self._call(_CREATE, self._new(task))
        return Task(*columns)

    async def create_once(self, task: TaskWrite, key: str) -> tuple[Task, bool]:
        """Create a task, or return the one that the same request created with the same key.

        The second item is whether it was created now. Raises `TaskLimitError`,
        `IdempotencyMismatchError`, `IdempotencyInFlightError`.
        """
        # Without defaults, a release with more fields computes the same hash.
        request_hash = sha256(task.model_dump_json(exclude_defaults=True).encode()).digest()
        claim = {"new_key": key, "new_hash": request_hash}
        outcome, columns = await self._call(_CREATE_ONCE, {**self._new(task), **claim})
        return Task(*columns), outcome == "created"

    async def change(
        self, task_id: UUID, changes: Mapping[str, Any], *, versions: frozenset[int] | None = None
    ) -> Task | None:
        """Change the given columns of one task if its version is in `versions` (None: any).

        Without changes, the task stays as it is. Raises `StaleVersionError`.
        """
        if not changes:
            task = await self.get(task_id)
            if task is not None and versions is not None and task.version not in versions:
                raise StaleVersionError
            return task
        parameters = {
            **_wanted(task_id, versions),
            "names": ",".join(changes),
            **_arguments(changes),
        }
        outcome, columns = await self._call(_CHANGE, parameters)
        return Task(*columns) if outcome == "changed" else None

    async def delete(self, task_id: UUID, *, versions: frozenset[int] | None = None) -> bool:
        """Mark one task as deleted; return whether there was one. Raises `StaleVersionError`."""
        outcome, _ = await self._call(_DELETE, _wanted(task_id, versions))
        return outcome == "deleted"

    async def delete_all(self, *further: Step) -> list[Sequence[AnyRow]]:
        """Mark all tasks as deleted, and execute further statements, in one transaction.

        Return the rows of the further statements. A task that is created or restored at the same
        time is deleted too, unless its transaction waits for this one and commits after it.
        """
        # Locks are taken in the order of the functions: tasks, then the count. While the count is
        # locked no task can be added, so the second time finds all that were added since the first.
        steps: list[Step] = [(_DELETE_ALL, {}), (_COUNT_NONE, {}), (_DELETE_ALL, {})]
        rows = await self._database.run_together(self._owner, [*steps, *further])
        return rows[len(steps) :]

    async def restore(self, task_id: UUID) -> Task | None:
        """Restore a deleted task while that is possible. A live task stays as it is.

        Raises `TaskLimitError`.
        """
        parameters: dict[str, object] = {"wanted": task_id, "max_tasks": self._max_tasks}
        outcome, columns = await self._call(_RESTORE, parameters)
        return Task(*columns) if outcome in ("restored", "live") else None

    async def _call(
        self, function: Statement, parameters: dict[str, object]
    ) -> tuple[str, Iterable[Any]]:
        """Call a function and return its outcome and the task's columns. Raises `TaskError`."""
        parameters[calls.TAG] = self._tag
        ((outcome, *columns),) = await self._database.run(self._owner, function, parameters)
        if outcome in _REFUSALS:
            raise _REFUSALS[outcome]
        return outcome, columns

    def _new(self, task: TaskWrite) -> dict[str, object]:
        return {
            "wanted": uuid_utils.uuid7(),
            "max_tasks": self._max_tasks,
            **_arguments(task.columns()),
        }


def _position(task: Task, query: TaskQuery) -> Position:
    return Position(getattr(task, query.sort.removeprefix("-")), task.id)


def _wanted(task_id: UUID, versions: frozenset[int] | None) -> dict[str, object]:
    return {"wanted": task_id, "versions": None if versions is None else [*versions]}


def _arguments(columns: Mapping[str, object]) -> dict[str, object]:
    """Return the functions' arguments for columns. Columns that are missing become NULL."""
    return dict(zip(_NEW, map(columns.get, _WRITABLE), strict=True))


def _containing(text: str) -> str:
    """Return a LIKE pattern that matches text containing `text` literally."""
    escaped = re.sub(r"[%_\\]", lambda found: f"\\{found[0]}", text)
    return f"%{escaped}%"
