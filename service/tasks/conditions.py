"""What a list filters and sorts by. There is no query in here: the repository makes those.

A new filter is a member of `TaskQuery` and a line in `_FILTERS`; a new sort a name in `Sort`, a
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
# Where there may be no value, what it counts as: the task comes last in either direction.
_MISSING: Final = {"due_at": ("'infinity'::timestamptz", "'-infinity'::timestamptz")}
# Filters on what is sorted by are bounds as well: only the part within them is read of the index.
_BOUNDS: Final[Mapping[str, Mapping[str, Callable[[Any, Any], ColumnElement[bool]]]]] = {
    "updated_at": {"updated_since": operator.ge},
    "due_at": {"due_before": operator.lt, "due_after": operator.ge},
    "priority": {"priority": operator.eq},
}


def sort_key(
    column: str, *, descending: bool, value: ColumnElement[Any] | None = None
) -> ColumnElement[Any]:
    """Give what a sort compares: the column's expression, or that of a value of it.

    To the letter the expression of the index behind the sort. A CASE and no coalesce(): under
    row-level security PostgreSQL holds that for leaky, and would not look conditions on it up in
    the index.
    """
    compared = _SORTED[column] if value is None else value
    if column not in _MISSING:
        return compared
    missing = literal_column(_MISSING[column][descending], _MOMENT)
    return case((compared.is_(None), missing), else_=compared)


def conditions_of(
    filters: frozenset[str], column: str, key: ColumnElement[Any]
) -> list[ColumnElement[bool]]:
    """Give the conditions of the named filters on a list that is sorted by `key` of `column`.

    The planner knows how many tasks an owner has on average, and it is the one with a thousand
    times as many that it has to serve. Told that a filter passes few of few, it reads and sorts
    all of the owner's tasks; of a CASE it knows nothing, and reads in order until a page is full.
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
