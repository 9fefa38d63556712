"""`TaskRepository`: every task query there is, each of them starting from its owner.

A list, a get and a create are one round trip to the database, an update or a delete three.
Another user's task and no task at all are the same here: None.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import uuid_utils.compat as uuid_utils
from sqlalchemy import (
    ColumnElement,
    Executable,
    Integer,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from service.database import IDENTITY, IDENTITY_PARAMETER, AnyRow, Database, as_owner
from service.owner import Owner
from service.tasks.schemas import Task, TaskWrite
from service.tasks.table import tasks

_COLUMNS: Final = (
    tasks.c.id,
    tasks.c.title,
    tasks.c.description,
    tasks.c.completed,
    tasks.c.priority,
    tasks.c.due_at,
    tasks.c.created_at,
    tasks.c.updated_at,
    tasks.c.completed_at,
    tasks.c.version,
)


def _owned(owner_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Give the first wall: the condition from which every statement below starts."""
    return tasks.c.owner_id == owner_id


_ME: Final[ColumnElement[str]] = bindparam(IDENTITY_PARAMETER, type_=tasks.c.owner_id.type)
_TASK_ID: Final = bindparam("task_id", type_=tasks.c.id.type)
_MINE: Final = and_(_owned(_ME), tasks.c.id == _TASK_ID)

# Two statements and not one with "OR :after IS NULL": that would hide the range from the index.
_FIRST_PAGE: Final = (
    select(*_COLUMNS)
    .where(_owned(IDENTITY.c.id))
    .order_by(tasks.c.id.desc())
    .limit(bindparam("limit", type_=Integer))
)
_FURTHER_PAGE: Final = _FIRST_PAGE.where(tasks.c.id < bindparam("after", type_=tasks.c.id.type))

_LIST_FIRST: Final = as_owner(_FIRST_PAGE)
_LIST_FURTHER: Final = as_owner(_FURTHER_PAGE)
_GET: Final = as_owner(
    select(*_COLUMNS).where(_owned(IDENTITY.c.id), tasks.c.id == _TASK_ID).limit(1)
)

_WRITABLE: Final = (
    tasks.c.title,
    tasks.c.description,
    tasks.c.completed,
    tasks.c.priority,
    tasks.c.due_at,
)
_CREATE: Final = (
    insert(tasks)
    .from_select(
        [
            tasks.c.owner_id,
            tasks.c.id,
            *_WRITABLE,
            tasks.c.created_at,
            tasks.c.updated_at,
            tasks.c.completed_at,
            tasks.c.version,
        ],
        select(
            IDENTITY.c.id,
            _TASK_ID,
            *(bindparam(column.name, type_=column.type) for column in _WRITABLE),
            func.now(),
            func.now(),
            case((bindparam("completed", type_=tasks.c.completed.type), func.now())),
            literal(1),
        ),
    )
    .returning(*_COLUMNS)
)
_DELETE: Final = delete(tasks).where(_MINE).returning(tasks.c.id)


class TaskRepository:
    """The tasks of one owner."""

    def __init__(self, database: Database, owner: Owner) -> None:
        self._database = database
        self._owner = owner

    async def list_page(self, *, limit: int, after: UUID | None) -> list[Task]:
        """Give up to `limit` tasks, newest first, beginning after the task `after`."""
        if after is None:
            return await self._read(_LIST_FIRST, {"limit": limit})
        return await self._read(_LIST_FURTHER, {"limit": limit, "after": after})

    async def get(self, task_id: UUID) -> Task | None:
        """Give one task."""
        return _first(await self._read(_GET, {"task_id": task_id}))

    async def create(self, task: TaskWrite) -> Task:
        """Add a task under a new version-7 id."""
        values = {"task_id": uuid_utils.uuid7(), **task.model_dump()}
        return (await self._read(_CREATE, values))[0]

    async def change(self, task_id: UUID, changes: Mapping[str, Any]) -> Task | None:
        """Set the given columns of one task; with none given, leave it as it is."""
        if not changes:
            return await self.get(task_id)
        statement = update(tasks).where(_MINE).values(**_stamped(changes)).returning(*_COLUMNS)
        async with self._database.transaction(self._owner) as transaction:
            rows = await transaction.execute(statement, {"task_id": task_id})
        return _first(_tasks(rows))

    async def delete(self, task_id: UUID) -> bool:
        """Delete one task; tell whether there was one."""
        async with self._database.transaction(self._owner) as transaction:
            rows = await transaction.execute(_DELETE, {"task_id": task_id})
        return bool(rows)

    async def _read(self, statement: Executable, parameters: Mapping[str, object]) -> list[Task]:
        return _tasks(await self._database.run(self._owner, statement, parameters))


def _stamped(changes: Mapping[str, Any]) -> dict[str, Any]:
    values = {**changes, "updated_at": func.now(), "version": tasks.c.version + 1}
    if "completed" in changes:
        values["completed_at"] = (
            func.coalesce(tasks.c.completed_at, func.now()) if changes["completed"] else None
        )
    return values


def _tasks(rows: Sequence[AnyRow]) -> list[Task]:
    # _COLUMNS and Task name the same things in the same order; a test holds them together.
    return [Task(*row) for row in rows]


def _first(found: list[Task]) -> Task | None:
    return found[0] if found else None
