"""What the queries of tasks have in common: the columns, and the first wall (`owned`).

`table.py` has the same for statements that SQLAlchemy builds.
"""

from dataclasses import fields
from typing import Final

from service.tasks.schemas import Task

COLUMNS: Final = ", ".join(f"tasks.{field.name}" for field in fields(Task))
"""The columns of a task, in the order of its fields."""
LIVE: Final = "tasks.deleted_at IS NULL"


def owned(table: str = "tasks", owner: str = "identity.id") -> str:
    """Return the first wall: the condition on the owner that every query must have."""
    return f"{table}.owner_id = {owner}"
