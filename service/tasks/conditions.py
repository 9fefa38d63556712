"""The filter conditions and sort keys of the task list. The repository builds the queries.

A new filter is a member of `TaskQuery` and a line in `_FILTERS`. A new sort is a name in `Sort`, a
line in `_SORTED` and an index in a migration.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    ColumnElement,
    DateTime,
    SmallInteger,
    Text,
    and_,
    bindparam,
    case,
    false,
    literal_column,
    or_,
    true,
)

from service.tasks.table import tasks

_MOMENT: Final = DateTime(timezone=True)
_Q: Final = bindparam("q", type_=Text)  # a LIKE pattern

_FILTERS: Final[Mapping[str, ColumnElement[bool]]] = {
    "completed": tasks.c.completed == bindparam("completed", type_=Boolean),
    "priority": tasks.c.priority == bindparam("priority", type_=SmallInteger),
    "due_before": tasks.c.due_at < bindparam("due_before", type_=_MOMENT),
    "due_after": tasks.c.due_at >= bindparam("due_after", type_=_MOMENT),
    "updated_since": tasks.c.updated_at >= bindparam("updated_since", type_=_MOMENT),
    "q": or_(tasks.c.title.ilike(_Q), tasks.c.description.ilike(_Q)),
}
_SORTED: Final[Mapping[str, ColumnElement[Any]]] = {
    "created_at": tasks.c.created_at,
    "updated_at": tasks.c.updated_at,
    "due_at": tasks.c.due_at,
    "priority": tasks.c.priority,
}
# What a missing value counts as (ascending, descending): the task comes last in both directions.
_MISSING: Final = {"due_at": ("'infinity'::timestamptz", "'-infinity'::timestamptz")}
# Filters on the sorted column are also bounds: only the part of the index between them is read.
_BOUNDS: Final[Mapping[str, Mapping[str, Callable[[Any, Any], ColumnElement[bool]]]]] = {
    "updated_at": {"updated_since": operator.ge},
    "due_at": {"due_before": operator.lt, "due_after": operator.ge},
    "priority": {"priority": operator.eq},
}


def sort_key(
    column: str, *, descending: bool, value: ColumnElement[Any] | None = None
) -> ColumnElement[Any]:
    """Return the expression that a sort compares, for the column or for a given value of it.

    It must equal the expression of the sort's index. It is a CASE because PostgreSQL considers
    coalesce() leaky: under row-level security it would not use the index for conditions on it.
    """
    compared = _SORTED[column] if value is None else value
    if column not in _MISSING:
        return compared
    missing = literal_column(_MISSING[column][descending], _MOMENT)
    return case((compared.is_(None), missing), else_=compared)


def conditions_of(
    filters: frozenset[str], column: str, key: ColumnElement[Any]
) -> list[ColumnElement[bool]]:
    """Return the conditions of the named filters on a list that is sorted by `key` of `column`.

    The planner assumes that each owner has the average number of tasks, but some have a thousand
    times as many. If it expects few matches, it reads and sorts all of the owner's tasks. It cannot
    estimate a CASE, and then reads in the order of the index until the page is full.
    """
    if not filters:
        return []
    passes = and_(*(_FILTERS[name] for name in sorted(filters)))
    bounds = [
        compare(key, bindparam(name, type_=key.type))
        for name, compare in _BOUNDS.get(column, {}).items()
        if name in filters
    ]
    return [case((passes, true()), else_=false()), *bounds]
