"""Lines of the functions that keep the count of an owner's live tasks."""

from typing import Any, Final

from sqlalchemy import ColumnElement, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert as insert_or_update

from service.tasks.stored_function import block, written
from service.tasks.table import owned, task_counts, tasks

ME: Final[ColumnElement[str]] = literal_column("me", tasks.c.owner_id.type)
"""The variable in every function that holds the identity."""
LIVE: Final = tasks.c.deleted_at.is_(None)

_MAX_TASKS: Final = literal_column("max_tasks", task_counts.c.live.type)


def _set(number: ColumnElement[Any]) -> Any:
    return update(task_counts).where(owned(task_counts, ME)).values(live=number)


def count_one_more(full: str) -> str:
    """Count one more task, or execute `full` if the limit is reached.

    The count is corrected before the limit applies: an older version of the service, which does not
    count, may have added and deleted tasks. An owner's first task is counted in the same way.
    """
    live = task_counts.c.live
    one_more = written(_set(live + 1).where(live < _MAX_TASKS))
    row = insert_or_update(task_counts).values(owner_id=ME, live=literal_column("0")).inline()
    # Lock the row before counting: a statement only sees what was committed before it began.
    locked = row.on_conflict_do_update(index_elements=[task_counts.c.owner_id], set_={"live": live})
    number = select(func.count()).select_from(tasks).where(owned(tasks, ME), LIVE)
    counted = written(locked) + written(_set(number.scalar_subquery())) + one_more
    counted += f"IF NOT FOUND THEN\n{block(full)}END IF;\n"
    return f"{one_more}IF NOT FOUND THEN\n{block(counted)}END IF;\n"


def count_one_less() -> str:
    """Count one task less.

    Never below zero: an older version of the service may have added tasks without counting them.
    """
    one_less = task_counts.c.live - literal_column("1")
    return written(_set(func.greatest(one_less, literal_column("0"))))
