"""The filter conditions and sort keys of the task list. `listing.py` builds the queries.

A new filter is a member of `TaskQuery` and a line in `_FILTERS`. A new sort is a name in `Sort`, a
line in `_TYPES` and an index in a migration.
"""

from collections.abc import Mapping
from typing import Final

# The columns that a filter reads, and its condition on the tasks that are examined.
_FILTERS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "completed": (("completed",), "examined.completed = :completed::boolean"),
    "priority": (("priority",), "examined.priority = :priority::smallint"),
    "due_before": (("due_at",), "examined.due_at < :due_before::timestamptz"),
    "due_after": (("due_at",), "examined.due_at >= :due_after::timestamptz"),
    "updated_since": (("updated_at",), "examined.updated_at >= :updated_since::timestamptz"),
    "q": (  # a LIKE pattern
        ("title", "description"),
        "(examined.title ILIKE :q::text OR examined.description ILIKE :q::text)",
    ),
}
# The columns of sorts, and their types.
_TYPES: Final = {
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "due_at": "timestamptz",
    "priority": "smallint",
}
_INFINITY: Final = "'infinity'::timestamptz"
_MINUS_INFINITY: Final = "'-infinity'::timestamptz"
# What a missing value counts as (ascending, descending): the task comes last in both directions.
_MISSING: Final = {"due_at": (_INFINITY, _MINUS_INFINITY)}

# Filters on the sorted column are also bounds, a lower one and an upper one: only the part of the
# index between them is read. Tasks without a date are outside: they are at the end of the index,
# and would all be examined.
_BOUNDS: Final[Mapping[str, Mapping[str, tuple[str, str | None]]]] = {
    "updated_at": {"updated_since": (">= :updated_since::timestamptz", None)},
    "due_at": {
        "due_before": (f"> {_MINUS_INFINITY}", "< :due_before::timestamptz"),
        "due_after": (">= :due_after::timestamptz", f"< {_INFINITY}"),
    },
    "priority": {"priority": (">= :priority::smallint", "<= :priority::smallint")},
}


def sort_key(column: str, *, descending: bool) -> str:
    """Return the expression that a sort by a column compares.

    It must equal the expression of the sort's index.
    """
    return _without_null(column, f"tasks.{column}", descending=descending)


def last_key(column: str, *, descending: bool) -> str:
    """Return the same expression for `after_key`, the value of the previous page's last task."""
    return _without_null(column, f":after_key::{_TYPES[column]}", descending=descending)


def _without_null(column: str, value: str, *, descending: bool) -> str:
    """Return a CASE, because PostgreSQL considers coalesce() leaky.

    Under row-level security it would not use the index for conditions on it.
    """
    if column not in _MISSING:
        return value
    return f"CASE WHEN {value} IS NULL THEN {_MISSING[column][descending]} ELSE {value} END"


def bounds_of(
    filters: frozenset[str], column: str, *, descending: bool, further: bool
) -> list[str]:
    """Return the bounds that the filters set for `column`, by which the list is sorted.

    A further page starts at its cursor, which is within the bounds, so it needs only the bound at
    the end. With both, PostgreSQL may start at the bound and read everything before the cursor.
    """
    key = sort_key(column, descending=descending)
    bounds = []
    for name in sorted(filters & _BOUNDS.get(column, {}).keys()):
        lower, upper = _BOUNDS[column][name]
        begin, end = (upper, lower) if descending else (lower, upper)
        used = (end,) if further else (begin, end)
        bounds += [f"{key} {bound}" for bound in used if bound is not None]
    return bounds


def columns_of(filters: frozenset[str]) -> list[str]:
    """Return the names of the columns that the filters read."""
    return sorted({column for name in filters for column in _FILTERS[name][0]})


def passes(filters: frozenset[str]) -> str:
    """Return the condition of all filters on `examined`, which has `columns_of` them."""
    return " AND ".join(_FILTERS[name][1] for name in sorted(filters))
