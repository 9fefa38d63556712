"""`TaskRepository`: every task query there is, each of them starting from its owner.

A list, a get and a create are one round trip to the database; everything that runs in a
transaction (a create with a key, a change, a deletion, a restoration) is three. Another user's
task, a deleted one and no task at all are the same here: None.

A new field of a task needs nothing here; what lists filter and sort by is in `conditions.py`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from functools import cache
from hashlib import sha256
from itertools import chain
from typing import Any, Final
from uuid import UUID

import uuid_utils.compat as uuid_utils
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Executable,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal,
    literal_column,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_or_update

from service.database.execution import AnyRow, Database, LockTimeoutError
from service.database.identity import IDENTITY, IDENTITY_PARAMETER, as_owner
from service.security.owner import Owner
from service.tasks.conditions import conditions_of, sort_key
from service.tasks.cursor import Position
from service.tasks.errors import (
    IdempotencyInFlightError,
    IdempotencyMismatchError,
    StaleVersionError,
    TaskLimitError,
)
from service.tasks.query import TaskQuery
from service.tasks.schemas import Task, TaskWrite, task_from_reply
from service.tasks.table import idempotency_keys, tasks

DEFAULT_MAX_TASKS: Final = 10_000
RESTORABLE: Final = timedelta(days=30)
REPLAYABLE: Final = timedelta(hours=24)

_COLUMNS: Final = tuple(tasks.c[field.name] for field in fields(Task))
_WRITABLE: Final = tuple(tasks.c[name] for name in TaskWrite.model_fields)

_ME: Final[ColumnElement[str]] = bindparam(IDENTITY_PARAMETER, type_=tasks.c.owner_id.type)
_TASK_ID: Final = bindparam("task_id", type_=tasks.c.id.type)
_LIMIT: Final = bindparam("limit", type_=Integer)
_MAX_TASKS: Final = bindparam("max_tasks", type_=Integer)
_LIVE: Final = tasks.c.deleted_at.is_(None)


def _owned(owner_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Give the first wall: the condition from which every statement below starts."""
    return tasks.c.owner_id == owner_id


_MINE: Final = and_(_owned(_ME), tasks.c.id == _TASK_ID)

_GET: Final = as_owner(
    select(*_COLUMNS).where(_owned(IDENTITY.c.id), tasks.c.id == _TASK_ID, _LIVE).limit(1)
)


@cache
def _page(sort: str, filters: frozenset[str], *, further: bool) -> Select[Any]:
    """Build the statement of a page; there are as many as there are sorts and sets of filters.

    The ids are found first, in an index that has the columns of all filters but `q`; only the rows
    of the page are read from the table.
    """
    descending = sort.startswith("-")
    column = sort.removeprefix("-")
    key = sort_key(column, descending=descending)
    order = (key.desc(), tasks.c.id.desc()) if descending else (key.asc(), tasks.c.id.asc())
    found = (
        select(tasks.c.id)
        .correlate(IDENTITY)
        .where(_owned(IDENTITY.c.id), _LIVE, *conditions_of(filters, column, key))
        .order_by(*order)
        .limit(_LIMIT)
    )
    if further:
        last = sort_key(column, descending=descending, value=bindparam("after_key", type_=key.type))
        here = tuple_(key, tasks.c.id)
        there = tuple_(last, bindparam("after_id", type_=tasks.c.id.type))
        found = found.where(here < there if descending else here > there)
    ids = found.lateral("found")
    mine = and_(_owned(IDENTITY.c.id), tasks.c.id == ids.c.id)
    return as_owner(
        select(*_COLUMNS).select_from(ids.join(tasks, mine)).order_by(*order).limit(_LIMIT)
    )


def _new_task(owner_id: ColumnElement[str]) -> dict[str, ColumnElement[Any]]:
    """Give the columns of a new task."""
    completed = bindparam("completed", type_=tasks.c.completed.type)
    return {
        "owner_id": owner_id,
        "id": _TASK_ID,
        **{column.name: bindparam(column.name, type_=column.type) for column in _WRITABLE},
        "created_at": func.now(),
        "updated_at": func.now(),
        "completed_at": case((completed, func.now())),
        "version": literal(1),
    }


def _live_tasks(owner_id: ColumnElement[str]) -> Select[Any]:
    """Count an owner's live tasks, no further than it matters."""
    counted = select(tasks.c.id).correlate(IDENTITY).where(_owned(owner_id), _LIVE)
    return select(func.count().label("number")).select_from(
        counted.limit(_MAX_TASKS).lateral("counted")
    )


def _insert(owner_id: ColumnElement[str], source: FromClause) -> Any:
    """Insert a new task for each row of `source`, unless the owner has as many as may be."""
    number = _live_tasks(owner_id).lateral("live")
    values = _new_task(owner_id)
    rows = select(*values.values()).select_from(source.join(number, number.c.number < _MAX_TASKS))
    return insert(tasks).from_select(list(values), rows)


_CREATE: Final = _insert(IDENTITY.c.id, IDENTITY).returning(*_COLUMNS)


def _create_once() -> Select[Any]:
    """Claim an idempotency key and create a task with it, or find what the key was used for.

    The claim holds the reply already, so that both are written by one statement. A key that a
    transaction under way has claimed is waited for.
    """
    task = _new_task(_ME)
    reply = chain.from_iterable(
        (literal_column(f"'{column.name}'"), cast(task[column.name], column.type))
        for column in _COLUMNS
    )
    claim = insert_or_update(idempotency_keys).values(
        owner_id=_ME,
        key=bindparam("key", type_=Text),
        request_hash=bindparam("request_hash", type_=idempotency_keys.c.request_hash.type),
        reply=func.jsonb_build_object(*reply),
        created_at=func.now(),
    )
    outlived = idempotency_keys.c.created_at < func.now() - literal(REPLAYABLE)
    names = ("request_hash", "reply", "created_at")
    claimed = (
        claim.on_conflict_do_update(
            index_elements=[idempotency_keys.c.owner_id, idempotency_keys.c.key],
            set_={
                name: case((outlived, claim.excluded[name]), else_=idempotency_keys.c[name])
                for name in names
            },
        )
        .returning(idempotency_keys.c.request_hash, idempotency_keys.c.reply)
        .cte("claimed")
    )
    ours = claimed.c.reply["id"].astext == cast(_TASK_ID, Text)
    source = select(literal(1)).select_from(claimed).where(ours).subquery("ours")
    made = _insert(_ME, source).returning(tasks.c.id).cte("made")
    return select(claimed.c.request_hash, claimed.c.reply, ours, made.c.id).select_from(
        claimed.outerjoin(made, true())
    )


_CREATE_ONCE: Final = _create_once()


_RESTORABLE: Final = tasks.c.deleted_at > func.now() - literal(RESTORABLE)


def _changing(
    values: Mapping[str, Any],
    *conditions: ColumnElement[bool],
    versions: frozenset[int] | None = None,
) -> Select[Any]:
    """Change one task: a row says what was there, and how it is now if it was changed."""
    statement = update(tasks).where(_MINE, *conditions)
    if versions is not None:
        expected = literal([*versions], ARRAY(Integer))
        statement = statement.where(tasks.c.version == func.any(expected))
    changed = (
        statement.values(**values, version=tasks.c.version + 1).returning(*_COLUMNS).cte("changed")
    )
    # The select sees the task as it was before.
    return (
        select(_LIVE, _RESTORABLE, *_COLUMNS, *changed.c)
        .select_from(tasks.outerjoin(changed, true()))
        .where(_MINE)
    )


_RESTORE: Final = _changing(
    {"deleted_at": None, "updated_at": func.now()},
    _RESTORABLE,
    _live_tasks(_ME).scalar_subquery() < _MAX_TASKS,
)


class TaskRepository:
    """The tasks of one owner, who may have `max_tasks` live ones at a time.

    Creations at the same moment may overshoot that by their number.
    """

    def __init__(
        self, database: Database, owner: Owner, *, max_tasks: int = DEFAULT_MAX_TASKS
    ) -> None:
        self._database = database
        self._owner = owner
        self._max_tasks = max_tasks

    async def list_page(
        self, query: TaskQuery, *, limit: int, after: Position | None = None
    ) -> list[Task]:
        """Give up to `limit` tasks that match the query, beginning after `after`."""
        filters = dict(query.filters())
        statement = _page(query.sort, frozenset(filters), further=after is not None)
        if "q" in filters:
            filters["q"] = _containing(filters["q"])
        position = {} if after is None else {"after_key": after.key, "after_id": after.id}
        rows = await self._run(statement, {**filters, **position, "limit": limit})
        return [_task(row) for row in rows]

    async def get(self, task_id: UUID) -> Task | None:
        """Give one task."""
        rows = await self._run(_GET, {"task_id": task_id})
        return _task(rows[0]) if rows else None

    async def create(self, task: TaskWrite) -> Task:
        """Add a task under a new version-7 id. Raises `TaskLimitError`."""
        rows = await self._run(_CREATE, self._new(task))
        if not rows:
            raise TaskLimitError
        return _task(rows[0])

    async def create_once(self, task: TaskWrite, key: str) -> tuple[Task, bool]:
        """Add a task, or give the one that the same request has added under the same key.

        The second item tells whether it was added now. Raises `TaskLimitError`,
        `IdempotencyMismatchError`, `IdempotencyInFlightError`.
        """
        request_hash = sha256(task.model_dump_json().encode()).digest()
        values = {**self._new(task), "key": key, "request_hash": request_hash}
        try:
            async with self._database.transaction(self._owner) as transaction:
                rows = await transaction.execute(_CREATE_ONCE, values)
                kept_hash, reply, is_ours, made = rows[0]
                if is_ours and made is None:
                    raise TaskLimitError  # which takes the claim back too
        except LockTimeoutError:
            raise IdempotencyInFlightError from None
        if kept_hash != request_hash:
            raise IdempotencyMismatchError
        return task_from_reply(reply), bool(is_ours)

    async def change(
        self, task_id: UUID, changes: Mapping[str, Any], *, versions: frozenset[int] | None = None
    ) -> Task | None:
        """Set the given columns of one task, if it is in one of `versions` (None: in any).

        With nothing to set, leave it as it is. Raises `StaleVersionError`.
        """
        if not changes:
            task = await self.get(task_id)
            if task is not None and versions is not None and task.version not in versions:
                raise StaleVersionError
            return task
        return await self._change(task_id, _stamped(changes), versions)

    async def delete(self, task_id: UUID, *, versions: frozenset[int] | None = None) -> bool:
        """Mark one task as deleted; tell whether there was one. Raises `StaleVersionError`."""
        return await self._change(task_id, {"deleted_at": func.now()}, versions) is not None

    async def restore(self, task_id: UUID) -> Task | None:
        """Take a deletion back, for as long as that can be done; a live task stays as it is.

        Raises `TaskLimitError`.
        """
        async with self._database.transaction(self._owner) as transaction:
            rows = await transaction.execute(_RESTORE, self._limited({"task_id": task_id}))
        if not rows:
            return None
        live, restorable, task, restored = _outcome(rows[0])
        if live or restored is not None:
            return restored or task
        if restorable:
            raise TaskLimitError
        return None

    async def _change(
        self, task_id: UUID, values: Mapping[str, Any], versions: frozenset[int] | None
    ) -> Task | None:
        statement = _changing(values, _LIVE, versions=versions)
        async with self._database.transaction(self._owner) as transaction:
            rows = await transaction.execute(statement, {"task_id": task_id})
        if not rows:
            return None
        live, _, _, changed = _outcome(rows[0])
        if live and changed is None and versions is not None:
            raise StaleVersionError
        return changed

    async def _run(
        self, statement: Executable, parameters: Mapping[str, object]
    ) -> Sequence[AnyRow]:
        return await self._database.run(self._owner, statement, parameters)

    def _new(self, task: TaskWrite) -> Mapping[str, object]:
        return self._limited({"task_id": uuid_utils.uuid7(), **task.model_dump()})

    def _limited(self, parameters: Mapping[str, object]) -> Mapping[str, object]:
        return {**parameters, "max_tasks": self._max_tasks}


def _stamped(changes: Mapping[str, Any]) -> dict[str, Any]:
    values = {**changes, "updated_at": func.now()}
    if "completed" in changes:
        values["completed_at"] = (
            func.coalesce(tasks.c.completed_at, func.now()) if changes["completed"] else None
        )
    return values


def _containing(text: str) -> str:
    """Write a LIKE pattern that takes every character of `text` as itself."""
    escaped = re.sub(r"[%_\\]", lambda found: f"\\{found[0]}", text)
    return f"%{escaped}%"


def _task(row: Iterable[Any]) -> Task:
    # _COLUMNS are the fields of Task, in their order.
    return Task(*row)


def _outcome(row: AnyRow) -> tuple[bool, bool, Task, Task | None]:
    """Read a row of `_changing`: live, restorable, the task as it was, and as it was changed."""
    live, restorable, *columns = row
    before, after = columns[: len(_COLUMNS)], columns[len(_COLUMNS) :]
    return live, bool(restorable), _task(before), _task(after) if after[0] is not None else None
