"""The columns of a task, as the functions in the database name them, and the types of names."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, func, literal_column

from service.tasks.schemas import Task, TaskWrite
from service.tasks.stored_function import type_of
from service.tasks.table import tasks

COLUMNS: Final = tuple(tasks.c[field.name] for field in fields(Task))
WRITABLE: Final = tuple(tasks.c[name] for name in TaskWrite.model_fields)

_COLUMN_TYPES: Final = {each.name: type_of(each.type) for each in COLUMNS}
_TYPES: Final = {
    **_COLUMN_TYPES,
    **{f"new_{each.name}": _COLUMN_TYPES[each.name] for each in WRITABLE},
    "outcome": "TEXT",
    "wanted": "UUID",
    "versions": "INTEGER[]",
    "names": "TEXT[]",
    "max_tasks": "INTEGER",
    "new_key": "TEXT",
    "new_hash": "BYTEA",
    "tag": "TEXT",
}
TASK: Final = ", ".join(_COLUMN_TYPES)
"""The variables of a function that hold the columns of the task it returns."""

WANTED: Final = literal_column("wanted", tasks.c.id.type)
"""The argument of a function that is the task's id."""


def typed(names: Iterable[str]) -> Mapping[str, str]:
    """Return the types of arguments or results by their names."""
    return {name: _TYPES[name] for name in names}


def new(name: str) -> ColumnElement[Any]:
    """Return the argument that has the new value of a column."""
    return literal_column(f"new_{name}", tasks.c[name].type)


def before(duration: timedelta) -> ColumnElement[Any]:
    """Return the moment that was so long ago."""
    return func.now() - literal_column(f"make_interval(days => {duration.days})")
