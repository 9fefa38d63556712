"""The database functions that change tasks: built from the tables here, frozen in a migration.

A change in one round trip needs a function in the database. An UPDATE that sets the identity itself
is not reliable: a plan may look for the row before the identity is set, and not find it. A function
runs in order: it sets the identity, and then executes its statements.

- They run as role `app`, so row-level security binds each statement (the second wall), and each
  statement starts from the owner (`owned`, the first wall).
- `outcome` is the result, so that 404, 409 and 412 need no second query.
- A change notifies the service's processes, if the call has a `tag`.
- Locks are taken in a fixed order: an idempotency key, a task, the owner's count. The count stays
  locked until the end, so that concurrent creations cannot exceed the limit together.

A test compares the functions in the database with `FUNCTIONS`. After a change to a table, a new
migration must create the functions that differ, with each `definition` and its `rights`. Replicas
of the previous release still call the old ones. So a function with the same arguments and other
results needs a new name.
"""

from datetime import timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    and_,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)

from service.tasks import calls
from service.tasks.columns import (
    COLUMNS,
    TASK,
    WANTED,
    WRITABLE,
    before,
    new,
    typed,
)
from service.tasks.counting import LIVE, ME, count_one_less, count_one_more
from service.tasks.creation import CREATE, CREATE_ONCE
from service.tasks.notifying import notify
from service.tasks.stored_function import StoredFunction, block, condition, written
from service.tasks.table import owned, tasks

RESTORABLE: Final = timedelta(days=30)

_VERSIONS: Final[ColumnElement[Any]] = literal_column("versions")

_MINE: Final = and_(owned(tasks, ME), tasks.c.id == WANTED)


def _is_sent(name: str) -> ColumnElement[bool]:
    return literal_column(f"'{name}' = ANY (names)")


def _expected_mine() -> ColumnElement[bool]:
    """Return the condition for the wanted task in one of the expected versions."""
    expected = or_(_VERSIONS.is_(None), tasks.c.version == func.any(_VERSIONS))
    return and_(_MINE, LIVE, expected)


def _outcome(done: str, further: str) -> str:
    """Set `outcome`: the change was made, the task has another version, or there is no task.

    `further` is executed if the change was made.
    """
    is_there = condition(and_(_VERSIONS.is_not(None), exists().where(_MINE, LIVE)))
    return (
        f"IF FOUND THEN\n    outcome := '{done}';\n{block(further)}"
        f"ELSIF {is_there}\nTHEN\n    outcome := 'stale';\n"
        "ELSE\n    outcome := 'absent';\nEND IF;\n"
    )


def _change() -> StoredFunction:
    sent = {each.name: case((_is_sent(each.name), new(each.name)), else_=each) for each in WRITABLE}
    completed_at = case((new("completed"), func.coalesce(tasks.c.completed_at, func.now())))
    change = update(tasks).where(_expected_mine())
    change = change.values(
        **sent,
        completed_at=case((_is_sent("completed"), completed_at), else_=tasks.c.completed_at),
        updated_at=func.now(),
        version=tasks.c.version + literal_column("1"),
    )
    return StoredFunction(
        calls.CHANGE.function,
        typed(calls.CHANGE.arguments),
        typed(calls.CHANGE.results),
        written(change.returning(*COLUMNS), into=TASK) + _outcome("changed", notify()),
        {},
    )


def _delete() -> StoredFunction:
    delete = update(tasks).where(_expected_mine())
    delete = delete.values(deleted_at=func.now(), version=tasks.c.version + literal_column("1"))
    return StoredFunction(
        calls.DELETE.function,
        typed(calls.DELETE.arguments),
        typed(calls.DELETE.results),
        written(delete.returning(tasks.c.version), into="new_version")
        + _outcome("deleted", count_one_less() + notify("new_version")),
        {"new_version": "integer"},
    )


def _restore() -> StoredFunction:
    is_restorable = tasks.c.deleted_at > before(RESTORABLE)
    found = select(LIVE, is_restorable, *COLUMNS).where(_MINE).with_for_update(key_share=True)
    restore = update(tasks).where(_MINE)
    restore = restore.values(
        deleted_at=None, updated_at=func.now(), version=tasks.c.version + literal_column("1")
    )
    restored = count_one_more("outcome := 'limit';\nRETURN;")
    restored += (
        written(restore.returning(*COLUMNS), into=TASK) + "outcome := 'restored';\n" + notify()
    )
    return StoredFunction(
        calls.RESTORE.function,
        typed(calls.RESTORE.arguments),
        typed(calls.RESTORE.results),
        written(found, into=f"is_live, is_restorable, {TASK}")
        + "IF is_live THEN\n    outcome := 'live';\n"
        + f"ELSIF is_restorable THEN\n{block(restored)}"
        + "ELSE\n    outcome := 'absent';\nEND IF;\n",
        {"is_live": "boolean", "is_restorable": "boolean"},
    )


CHANGE: Final = _change()
DELETE: Final = _delete()
RESTORE: Final = _restore()
FUNCTIONS: Final = (CREATE, CREATE_ONCE, CHANGE, DELETE, RESTORE)
