"""The functions that create a task, with and without an idempotency key."""

from collections.abc import Iterator
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
    func,
    insert,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert as insert_or_update

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
from service.tasks.counting import ME, count_one_more
from service.tasks.notifying import notify
from service.tasks.stored_function import StoredFunction, block, written
from service.tasks.table import idempotency_keys, owned, tasks

REPLAYABLE: Final = timedelta(hours=24)

_KEY: Final = literal_column("new_key", idempotency_keys.c.key.type)
_HASH: Final = literal_column("new_hash", idempotency_keys.c.request_hash.type)
_MY_KEY: Final = and_(owned(idempotency_keys, ME), idempotency_keys.c.key == _KEY)


def _new_task() -> dict[str, ColumnElement[Any]]:
    return {
        "owner_id": ME,
        "id": WANTED,
        **{each.name: new(each.name) for each in WRITABLE},
        "created_at": func.now(),
        "updated_at": func.now(),
        "completed_at": case((new("completed"), func.now())),
        "version": literal_column("1"),
    }


def _insert() -> str:
    return written(insert(tasks).values(_new_task()).inline().returning(*COLUMNS), into=TASK)


def _created() -> str:
    return _insert() + "outcome := 'created';\n" + notify()


def _create() -> StoredFunction:
    full = "outcome := 'limit';\nRETURN;"
    return StoredFunction(
        calls.CREATE.function,
        typed(calls.CREATE.arguments),
        typed(calls.CREATE.results),
        count_one_more(full) + _created(),
        {},
    )


def _create_once() -> StoredFunction:
    """Claim an idempotency key and create a task, or return the task that the key was used for.

    The claim already holds the reply. A key that another transaction is claiming is waited for. If
    the limit is reached, the claim is rolled back, so that the key stays free.
    """
    full = "RAISE SQLSTATE 'TFULL';"
    created = count_one_more(full) + _created()
    kept = written(_kept(), into=f"is_same, {TASK}")
    kept += "outcome := CASE WHEN is_same THEN 'replayed' ELSE 'mismatch' END;"
    attempt = (
        f"{written(_claim())}is_claimed := FOUND;\n"
        f"IF is_claimed THEN\n{block(created)}ELSE\n{block(kept)}END IF;\n"
    )
    return StoredFunction(
        calls.CREATE_ONCE.function,
        typed(calls.CREATE_ONCE.arguments),
        typed(calls.CREATE_ONCE.results),
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
            idempotency_keys.c.created_at < before(REPLAYABLE),
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
