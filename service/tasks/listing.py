"""The statements of lists: one for each sort and set of filters, each starting from the owner.

Without filters, a page is the next `limit` entries of the sort's index.

With filters, the matches may be far apart, so a page examines a bounded number of tasks: up to
`MAX_EXAMINED`, in the order of the sort. A search reads texts, so it examines at most
`MAX_SEARCHED_BYTES` of text as well. The statement returns the matches, and also the task at which
it reached a bound (`is_last`), even if it does not match: the next page begins after it. So a page
costs about the same for an owner with a thousand tasks and for one with a million, wherever the
matches are.

With filters the ids are found first, in an index that has the columns of all filters but `q`; only
the rows of the page are read from the table. Without filters that would cost PostgreSQL one more
look-up for each row: a third of the time from query to answer.
"""

from functools import cache
from typing import Final

from service.database.identity import as_owner
from service.database.statements import Statement
from service.tasks.conditions import bounds_of, columns_of, last_key, passes, sort_key
from service.tasks.first_wall import COLUMNS, LIVE, owned

MAX_EXAMINED: Final = 1_000
"""The most tasks that one page of a list with filters examines."""
MAX_SEARCHED_BYTES: Final = 1_000_000
"""A search ends with the task at which titles and descriptions reach so many bytes."""

_SO_FAR: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
# PostgreSQL knows the size of a text without reading it.
_SIZE: Final = "octet_length(first.title) + coalesce(octet_length(first.description), 0)"


@cache
def page_statement(sort: str, filters: frozenset[str], *, further: bool) -> Statement:
    """Return the statement of a page: up to `limit` rows of COLUMNS.

    With filters, two more columns: `matches` and `is_last`.
    """
    descending = sort.startswith("-")
    column = sort.removeprefix("-")
    key = sort_key(column, descending=descending)
    conditions = [
        owned(),
        LIVE,
        *bounds_of(filters, column, descending=descending, further=further),
    ]
    if further:
        last = last_key(column, descending=descending)
        after = "<" if descending else ">"
        conditions.append(f"({key}, tasks.id) {after} ({last}, :after_id::uuid)")
    columns = ", ".join([f"tasks.id, {key} AS key", *_names(filters)]) if filters else COLUMNS
    page = (
        f"SELECT {columns} FROM public.tasks WHERE {' AND '.join(conditions)}"  # noqa: S608 - constants
        f" ORDER BY {_order(key, 'tasks.id', descending=descending)}"
    )
    if not filters:
        return Statement(as_owner(f"{page} LIMIT :limit::integer"), reads_only=True)
    found = _matching(page, filters, descending=descending)
    return Statement(
        as_owner(
            f"SELECT {COLUMNS}, found.matches, found.is_last FROM LATERAL ({found}) AS found"  # noqa: S608 - constants
            # Without the limit, PostgreSQL may join all of the owner's tasks with each that was
            # found: where most owners have one task, that seems to cost the same.
            f" CROSS JOIN LATERAL (SELECT {COLUMNS} FROM public.tasks"
            f" WHERE {owned()} AND tasks.id = found.id LIMIT 1) AS tasks"
            f" ORDER BY {_order('found.key', 'found.id', descending=descending)}"
            " LIMIT :limit::integer"
        ),
        reads_only=True,
    )


def _matching(owned_part: str, filters: frozenset[str], *, descending: bool) -> str:
    """Examine the first tasks of a part of an index; return the matches and where it stopped.

    The bound is a sub-select because the planner knows how many tasks an owner has on average, and
    it is the one with a thousand times as many that it has to serve. Told that the bound is more
    than all, it may read and sort all of the owner's tasks; of a bound that it cannot know it
    assumes that it is a small part, and reads in order.
    """
    is_search = "q" in filters
    window = f"OVER (ORDER BY {_order('first.key', 'first.id', descending=descending)} {_SO_FAR})"
    examined = f"first.*, row_number() {window} AS number"
    matches, is_last = passes(filters), f"examined.number = {MAX_EXAMINED}"
    if is_search:
        examined += f", {_SIZE} AS size, sum({_SIZE}) {window} AS total"
        # Nothing but a CASE keeps the texts behind the bound from being read.
        is_within = f"examined.total - examined.size < {MAX_SEARCHED_BYTES}"
        matches = f"CASE WHEN {is_within} THEN {matches} ELSE false END"
        is_last = f"{is_within} AND ({is_last} OR examined.total >= {MAX_SEARCHED_BYTES})"
    return (
        f"SELECT examined.id, examined.key, {matches} AS matches, {is_last} AS is_last"  # noqa: S608 - constants
        f" FROM (SELECT {examined} FROM ({owned_part} LIMIT (SELECT {MAX_EXAMINED})) AS first)"
        " AS examined"
        f" WHERE {matches} OR {is_last}"
        f" ORDER BY {_order('examined.key', 'examined.id', descending=descending)}"
        " LIMIT :limit::integer"
    )


def _names(filters: frozenset[str]) -> list[str]:
    return [f"tasks.{name}" for name in columns_of(filters)]


def _order(*keys: str, descending: bool) -> str:
    return ", ".join(f"{key} {'DESC' if descending else 'ASC'}" for key in keys)
