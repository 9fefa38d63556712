"""`TaskRepository`: the tasks of one owner. Every task query starts from its owner.

Each operation is one statement and one round trip. Lists and gets are the queries below, changes
call the functions in `functions.py`. The result is None for another user's task, a deleted task and
a task that does not exist.

The conditions and sort keys of lists are in `conditions.py`.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import uuid_utils.compat as uuid_utils
from sqlalchemy import Integer, Select, TextClause, and_, bindparam, select, tuple_

from service.database.execution import Database
from service.database.identity import IDENTITY, as_owner
from service.security.owner import Owner
from service.tasks.conditions import conditions_of, sort_key
from service.tasks.counting import LIVE
from service.tasks.cursor import Position
from service.tasks.errors import (
    IdempotencyInFlightError,
    IdempotencyMismatchError,
    StaleVersionError,
    TaskError,
    TaskLimitError,
)
from service.tasks.functions import (
    CHANGE,
    COLUMNS,
    CREATE,
    CREATE_ONCE,
    DELETE,
    RESTORE,
    WRITABLE,
)
from service.tasks.query import TaskQuery
from service.tasks.schemas import Task, TaskWrite
from service.tasks.table import owned, tasks

DEFAULT_MAX_TASKS: Final = 10_000

_LIMIT: Final = bindparam("limit", type_=Integer)
_TASK_ID: Final = bindparam("task_id", type_=tasks.c.id.type)

_GET: Final = as_owner(
    select(*COLUMNS).where(owned(tasks, IDENTITY.c.id), tasks.c.id == _TASK_ID, LIVE).limit(1)
)
_CREATE: Final = CREATE.call
_CREATE_ONCE: Final = CREATE_ONCE.call
_CHANGE: Final = CHANGE.call
_DELETE: Final = DELETE.call
_RESTORE: Final = RESTORE.call

_REFUSALS: Final[Mapping[str, type[TaskError]]] = {
    "stale": StaleVersionError,
    "limit": TaskLimitError,
    "mismatch": IdempotencyMismatchError,
    "in_flight": IdempotencyInFlightError,
}


@cache
def _page(sort: str, filters: frozenset[str], *, further: bool) -> Select[Any]:
    """Build the statement of a page, once for each sort and set of filters.

    The ids are found first, in an index that has the columns of all filters but `q`. Then only the
    rows of the page are read from the table.
    """
    descending = sort.startswith("-")
    column = sort.removeprefix("-")
    key = sort_key(column, descending=descending)
    order = (key.desc(), tasks.c.id.desc()) if descending else (key.asc(), tasks.c.id.asc())
    found = (
        select(tasks.c.id)
        .correlate(IDENTITY)
        .where(owned(tasks, IDENTITY.c.id), LIVE, *conditions_of(filters, column, key))
        .order_by(*order)
        .limit(_LIMIT)
    )
    if further:
        last = sort_key(column, descending=descending, value=bindparam("after_key", type_=key.type))
        here = tuple_(key, tasks.c.id)
        there = tuple_(last, bindparam("after_id", type_=tasks.c.id.type))
        found = found.where(here < there if descending else here > there)
    ids = found.lateral("found")
    mine = and_(owned(tasks, IDENTITY.c.id), tasks.c.id == ids.c.id)
    return as_owner(
        select(*COLUMNS).select_from(ids.join(tasks, mine)).order_by(*order).limit(_LIMIT)
    )


class TaskRepository:
    """The tasks of one owner, who may have up to `max_tasks` live tasks."""

    def __init__(
        self, database: Database, owner: Owner, *, max_tasks: int = DEFAULT_MAX_TASKS
    ) -> None:
        self._database = database
        self._owner = owner
        self._max_tasks = max_tasks

    async def list_page(
        self, query: TaskQuery, *, limit: int, after: Position | None = None
    ) -> list[Task]:
        """Return up to `limit` tasks that match the query, starting after `after`."""
        filters = dict(query.filters())
        statement = _page(query.sort, frozenset(filters), further=after is not None)
        if "q" in filters:
            filters["q"] = _containing(filters["q"])
        position = {} if after is None else {"after_key": after.key, "after_id": after.id}
        parameters = {**filters, **position, "limit": limit}
        # COLUMNS are the fields of Task, in their order.
        return [Task(*row) for row in await self._database.run(self._owner, statement, parameters)]

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
        request_hash = sha256(task.model_dump_json().encode()).digest()
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
        parameters = {**_wanted(task_id, versions), "names": list(changes), **_arguments(changes)}
        outcome, columns = await self._call(_CHANGE, parameters)
        return Task(*columns) if outcome == "changed" else None

    async def delete(self, task_id: UUID, *, versions: frozenset[int] | None = None) -> bool:
        """Mark one task as deleted; return whether there was one. Raises `StaleVersionError`."""
        outcome, _ = await self._call(_DELETE, _wanted(task_id, versions))
        return outcome == "deleted"

    async def restore(self, task_id: UUID) -> Task | None:
        """Restore a deleted task while that is possible. A live task stays as it is.

        Raises `TaskLimitError`.
        """
        parameters = {"wanted": task_id, "max_tasks": self._max_tasks}
        outcome, columns = await self._call(_RESTORE, parameters)
        return Task(*columns) if outcome in ("restored", "live") else None

    async def _call(
        self, function: TextClause, parameters: Mapping[str, object]
    ) -> tuple[str, Iterable[Any]]:
        """Call a function and return its outcome and the task's columns. Raises `TaskError`."""
        ((outcome, *columns),) = await self._database.run(self._owner, function, parameters)
        if outcome in _REFUSALS:
            raise _REFUSALS[outcome]
        return outcome, columns

    def _new(self, task: TaskWrite) -> Mapping[str, object]:
        return {
            "wanted": uuid_utils.uuid7(),
            "max_tasks": self._max_tasks,
            **_arguments(task.model_dump()),
        }


def _wanted(task_id: UUID, versions: frozenset[int] | None) -> dict[str, object]:
    return {"wanted": task_id, "versions": None if versions is None else [*versions]}


def _arguments(columns: Mapping[str, object]) -> dict[str, object]:
    """Return the functions' arguments for columns. Columns that are missing become NULL."""
    return {f"new_{column.name}": columns.get(column.name) for column in WRITABLE}


def _containing(text: str) -> str:
    """Return a LIKE pattern that matches text containing `text` literally."""
    escaped = re.sub(r"[%_\\]", lambda found: f"\\{found[0]}", text)
    return f"%{escaped}%"
