"""The filter conditions and sort keys of the task list. `listing.py` builds the queries.

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
    FromClause,
    SmallInteger,
    Text,
    and_,
    bindparam,
    case,
    literal_column,
    or_,
)

from service.tasks.table import tasks

_MOMENT: Final = DateTime(timezone=True)
_Q: Final = bindparam("q", type_=Text)  # a LIKE pattern
_INFINITY: Final = literal_column("'infinity'::timestamptz", _MOMENT)
_MINUS_INFINITY: Final = literal_column("'-infinity'::timestamptz", _MOMENT)

# The columns that a filter reads, and its condition on them.
_FILTERS: Final[
    Mapping[str, tuple[tuple[str, ...], Callable[[FromClause], ColumnElement[bool]]]]
] = {
    "completed": (
        ("completed",),
        lambda rows: rows.c.completed == bindparam("completed", type_=Boolean),
    ),
    "priority": (
        ("priority",),
        lambda rows: rows.c.priority == bindparam("priority", type_=SmallInteger),
    ),
    "due_before": (
        ("due_at",),
        lambda rows: rows.c.due_at < bindparam("due_before", type_=_MOMENT),
    ),
    "due_after": (
        ("due_at",),
        lambda rows: rows.c.due_at >= bindparam("due_after", type_=_MOMENT),
    ),
    "updated_since": (
        ("updated_at",),
        lambda rows: rows.c.updated_at >= bindparam("updated_since", type_=_MOMENT),
    ),
    "q": (
        ("title", "description"),
        lambda rows: or_(rows.c.title.ilike(_Q), rows.c.description.ilike(_Q)),
    ),
}
_SORTED: Final[Mapping[str, ColumnElement[Any]]] = {
    "created_at": tasks.c.created_at,
    "updated_at": tasks.c.updated_at,
    "due_at": tasks.c.due_at,
    "priority": tasks.c.priority,
}
# What a missing value counts as (ascending, descending): the task comes last in both directions.
_MISSING: Final = {"due_at": (_INFINITY, _MINUS_INFINITY)}


_Compare = Callable[[Any, Any], ColumnElement[bool]]


def _is_after_no_date(key: ColumnElement[Any], _: ColumnElement[Any]) -> ColumnElement[bool]:
    return key > _MINUS_INFINITY


def _is_before_no_date(key: ColumnElement[Any], _: ColumnElement[Any]) -> ColumnElement[bool]:
    return key < _INFINITY


# Filters on the sorted column are also bounds, a lower one and an upper one: only the part of the
# index between them is read. Tasks without a date are outside: they are at the end of the index,
# and would all be examined.
_BOUNDS: Final[Mapping[str, Mapping[str, tuple[_Compare, _Compare | None]]]] = {
    "updated_at": {"updated_since": (operator.ge, None)},
    "due_at": {
        "due_before": (_is_after_no_date, operator.lt),
        "due_after": (operator.ge, _is_before_no_date),
    },
    "priority": {"priority": (operator.ge, operator.le)},
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
    return case((compared.is_(None), _MISSING[column][descending]), else_=compared)


def bounds_of(
    filters: frozenset[str],
    column: str,
    key: ColumnElement[Any],
    *,
    descending: bool,
    further: bool,
) -> list[ColumnElement[bool]]:
    """Return the bounds that the filters set to what the list is sorted by: `key` of `column`.

    A further page starts at its cursor, which is within the bounds, and needs the bound at the end
    only. With both, PostgreSQL may start at the bound and read everything before the cursor.
    """
    bounds = []
    for name in sorted(filters & _BOUNDS.get(column, {}).keys()):
        lower, upper = _BOUNDS[column][name]
        begin, end = (upper, lower) if descending else (lower, upper)
        used = (end,) if further else (begin, end)
        value = bindparam(name, type_=key.type)
        bounds += [compare(key, value) for compare in used if compare is not None]
    return bounds


def columns_of(filters: frozenset[str]) -> list[str]:
    """Return the names of the columns that the filters read."""
    return sorted({column for name in filters for column in _FILTERS[name][0]})


def passes(filters: frozenset[str], rows: FromClause) -> ColumnElement[bool]:
    """Return the condition of all filters on rows that have `columns_of` them."""
    return and_(*(_FILTERS[name][1](rows) for name in sorted(filters)))
