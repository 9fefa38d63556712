"""The count of an owner's live tasks, as the functions keep it: lines of a function each."""

from typing import Any, Final

from sqlalchemy import ColumnElement, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_update

from service.tasks.stored_function import block, written
from service.tasks.table import owned, task_counts, tasks

ME: Final[ColumnElement[str]] = literal_column("me", tasks.c.owner_id.type)
"""The variable of every function that holds the identity it has set."""
LIVE: Final = tasks.c.deleted_at.is_(None)

_MAX_TASKS: Final = literal_column("max_tasks", task_counts.c.live.type)


def _set(number: ColumnElement[Any]) -> Any:
    return update(task_counts).where(owned(task_counts, ME)).values(live=number)


def count_one_more(full: str) -> str:
    """Count one more task; at the limit, do what `full` says.

    The limit is believed only after the tasks themselves were counted: an older version of the
    service, which does not count, may have added and deleted some. An owner's first task takes
    that way too.
    """
    live = task_counts.c.live
    one_more = written(_set(live + 1).where(live < _MAX_TASKS))
    row = insert_or_update(task_counts).values(owner_id=ME, live=literal_column("0")).inline()
    # Locked before it is counted: a statement sees what was committed before it began.
    locked = row.on_conflict_do_update(index_elements=[task_counts.c.owner_id], set_={"live": live})
    number = select(func.count()).select_from(tasks).where(owned(tasks, ME), LIVE)
    counted = written(locked) + written(_set(number.scalar_subquery())) + one_more
    counted += f"IF NOT FOUND THEN\n{block(full)}END IF;\n"
    return f"{one_more}IF NOT FOUND THEN\n{block(counted)}END IF;\n"


def count_one_less() -> str:
    """Count one task less.

    Not below zero: an older version of the service may have added tasks without counting them.
    """
    one_less = task_counts.c.live - literal_column("1")
    return written(_set(func.greatest(one_less, literal_column("0"))))
