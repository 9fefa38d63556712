"""The database functions that change tasks: built from the tables here, frozen in a migration.

A change in one round trip needs a function in the database. An UPDATE that sets the identity itself
is not reliable: a plan may look for the row before the identity is set, and not find it. A function
runs in order: it sets the identity, and then executes its statements.

- They run as role `app`, so row-level security binds each statement (the second wall), and each
  statement starts from the owner (`owned`, the first wall).
- `outcome` tells the result, so that 404, 409 and 412 need no second query.
- Locks are taken in a fixed order: an idempotency key, a task, the owner's count. The count stays
  locked until the end, so that concurrent creations cannot exceed the limit together.

A test compares the functions in the database with `FUNCTIONS`. After a change to a table, a new
migration must replace the functions: with each `definition`, and `rights` for a new function.
"""

from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from itertools import chain
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    cast,
    column,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_or_update

from service.tasks.counting import LIVE, ME, count_one_less, count_one_more
from service.tasks.schemas import Task, TaskWrite
from service.tasks.stored_function import StoredFunction, block, condition, type_of, written
from service.tasks.table import idempotency_keys, owned, tasks

RESTORABLE: Final = timedelta(days=30)
REPLAYABLE: Final = timedelta(hours=24)

COLUMNS: Final = tuple(tasks.c[field.name] for field in fields(Task))
WRITABLE: Final = tuple(tasks.c[name] for name in TaskWrite.model_fields)

_TYPES: Final = {each.name: type_of(each.type) for each in COLUMNS}
_TASK: Final = ", ".join(_TYPES)
_TASK_ARGUMENTS: Final = {f"new_{each.name}": _TYPES[each.name] for each in WRITABLE}
_RESULTS: Final = {"outcome": "TEXT", **_TYPES}

# Variables and arguments of the functions.
_WANTED: Final = literal_column("wanted", tasks.c.id.type)
_VERSIONS: Final[ColumnElement[Any]] = literal_column("versions")
_KEY: Final = literal_column("new_key", idempotency_keys.c.key.type)
_HASH: Final = literal_column("new_hash", idempotency_keys.c.request_hash.type)

_MINE: Final = and_(owned(tasks, ME), tasks.c.id == _WANTED)
_MY_KEY: Final = and_(owned(idempotency_keys, ME), idempotency_keys.c.key == _KEY)


def _new(name: str) -> ColumnElement[Any]:
    """Return the new value of a column."""
    return literal_column(f"new_{name}", tasks.c[name].type)


def _is_sent(name: str) -> ColumnElement[bool]:
    return literal_column(f"'{name}' = ANY (names)")


def _before(duration: timedelta) -> ColumnElement[Any]:
    return func.now() - literal_column(f"make_interval(days => {duration.days})")


def _expected_mine() -> ColumnElement[bool]:
    """Return the condition for the wanted task in one of the expected versions."""
    expected = or_(_VERSIONS.is_(None), tasks.c.version == func.any(_VERSIONS))
    return and_(_MINE, LIVE, expected)


def _outcome(done: str) -> str:
    """Set `outcome`: the change was made, the task has another version, or there is no task."""
    is_there = condition(and_(_VERSIONS.is_not(None), exists().where(_MINE, LIVE)))
    return (
        f"IF FOUND THEN\n    outcome := '{done}';\n"
        f"ELSIF {is_there}\nTHEN\n    outcome := 'stale';\n"
        "ELSE\n    outcome := 'absent';\nEND IF;\n"
    )


def _new_task() -> dict[str, ColumnElement[Any]]:
    return {
        "owner_id": ME,
        "id": _WANTED,
        **{each.name: _new(each.name) for each in WRITABLE},
        "created_at": func.now(),
        "updated_at": func.now(),
        "completed_at": case((_new("completed"), func.now())),
        "version": literal_column("1"),
    }


def _insert() -> str:
    return written(insert(tasks).values(_new_task()).inline().returning(*COLUMNS), into=_TASK)


def _change() -> StoredFunction:
    sent = {
        each.name: case((_is_sent(each.name), _new(each.name)), else_=each) for each in WRITABLE
    }
    completed_at = case((_new("completed"), func.coalesce(tasks.c.completed_at, func.now())))
    change = update(tasks).where(_expected_mine())
    change = change.values(
        **sent,
        completed_at=case((_is_sent("completed"), completed_at), else_=tasks.c.completed_at),
        updated_at=func.now(),
        version=tasks.c.version + literal_column("1"),
    )
    return StoredFunction(
        "change_task",
        {"wanted": "UUID", "versions": "INTEGER[]", "names": "TEXT[]", **_TASK_ARGUMENTS},
        _RESULTS,
        written(change.returning(*COLUMNS), into=_TASK) + _outcome("changed"),
        {},
    )


def _delete() -> StoredFunction:
    delete = update(tasks).where(_expected_mine())
    delete = delete.values(deleted_at=func.now(), version=tasks.c.version + literal_column("1"))
    return StoredFunction(
        "delete_task",
        {"wanted": "UUID", "versions": "INTEGER[]"},
        {"outcome": "TEXT"},
        f"{written(delete)}{_outcome('deleted')}"
        f"IF outcome = 'deleted' THEN\n{block(count_one_less())}END IF;\n",
        {},
    )


def _restore() -> StoredFunction:
    is_restorable = tasks.c.deleted_at > _before(RESTORABLE)
    found = select(LIVE, is_restorable, *COLUMNS).where(_MINE).with_for_update(key_share=True)
    restore = update(tasks).where(_MINE)
    restore = restore.values(
        deleted_at=None, updated_at=func.now(), version=tasks.c.version + literal_column("1")
    )
    restored = count_one_more("outcome := 'limit';\nRETURN;")
    restored += written(restore.returning(*COLUMNS), into=_TASK) + "outcome := 'restored';"
    return StoredFunction(
        "restore_task",
        {"wanted": "UUID", "max_tasks": "INTEGER"},
        _RESULTS,
        written(found, into=f"is_live, is_restorable, {_TASK}")
        + "IF is_live THEN\n    outcome := 'live';\n"
        + f"ELSIF is_restorable THEN\n{block(restored)}"
        + "ELSE\n    outcome := 'absent';\nEND IF;\n",
        {"is_live": "boolean", "is_restorable": "boolean"},
    )


def _create() -> StoredFunction:
    full = "outcome := 'limit';\nRETURN;"
    return StoredFunction(
        "create_task",
        {"wanted": "UUID", "max_tasks": "INTEGER", **_TASK_ARGUMENTS},
        _RESULTS,
        count_one_more(full) + _insert() + "outcome := 'created';\n",
        {},
    )


def _create_once() -> StoredFunction:
    """Claim an idempotency key and create a task, or return the task that the key was used for.

    The claim already holds the reply. A key that another transaction is claiming is waited for. If
    the limit is reached, the claim is rolled back, so that the key stays free.
    """
    full = "RAISE SQLSTATE 'TFULL';"
    created = count_one_more(full) + _insert() + "outcome := 'created';"
    kept = written(_kept(), into=f"is_same, {_TASK}")
    kept += "outcome := CASE WHEN is_same THEN 'replayed' ELSE 'mismatch' END;"
    attempt = (
        f"{written(_claim())}is_claimed := FOUND;\n"
        f"IF is_claimed THEN\n{block(created)}ELSE\n{block(kept)}END IF;\n"
    )
    return StoredFunction(
        "create_task_once",
        {
            "wanted": "UUID",
            "max_tasks": "INTEGER",
            "new_key": "TEXT",
            "new_hash": "BYTEA",
            **_TASK_ARGUMENTS,
        },
        _RESULTS,
        f"BEGIN\n{block(attempt)}EXCEPTION\n"
        "    WHEN SQLSTATE 'TFULL' THEN\n        outcome := 'limit';\n"
        "    WHEN lock_not_available THEN\n"
        "        IF is_claimed THEN\n            RAISE;\n        END IF;\n"
        "        outcome := 'in_flight';\nEND;\n",
        {"is_claimed": "boolean := false", "is_same": "boolean"},
    )


def _claim() -> Any:
    """Claim a key that was never used, or whose reply has expired."""
    task = _new_task()
    pairs: Iterator[tuple[ColumnElement[Any], ColumnElement[Any]]] = (
        (literal_column(f"'{each.name}'"), cast(task[each.name], each.type)) for each in COLUMNS
    )
    claim = (
        insert_or_update(idempotency_keys)
        .values(
            owner_id=ME,
            key=_KEY,
            request_hash=_HASH,
            reply=func.jsonb_build_object(*chain.from_iterable(pairs)),
            created_at=func.now(),
        )
        .inline()
    )
    return claim.on_conflict_do_update(
        index_elements=[idempotency_keys.c.owner_id, idempotency_keys.c.key],
        set_={name: claim.excluded[name] for name in ("request_hash", "reply", "created_at")},
        where=and_(
            owned(idempotency_keys, ME),
            idempotency_keys.c.created_at < _before(REPLAYABLE),
        ),
    )


def _kept() -> Select[Any]:
    """Read whether a key was used for the same request, and the task as it was created."""
    kept = func.jsonb_populate_record(
        literal_column("NULL::public.tasks"), idempotency_keys.c.reply
    ).table_valued(*(column(each.name) for each in COLUMNS), name="kept")
    return (
        select(idempotency_keys.c.request_hash == _HASH, *kept.c)
        .select_from(idempotency_keys, kept)
        .where(_MY_KEY)
    )


CREATE: Final = _create()
CREATE_ONCE: Final = _create_once()
CHANGE: Final = _change()
DELETE: Final = _delete()
RESTORE: Final = _restore()
FUNCTIONS: Final = (CREATE, CREATE_ONCE, CHANGE, DELETE, RESTORE)
