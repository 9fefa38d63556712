"""The statements of lists: one for each sort and set of filters, each starting from the owner.

Without filters, a page is the next `limit` entries of the sort's index.

With filters, the matches may be far apart, so a page examines a bounded number of tasks: in the
order of the sort, up to `MAX_EXAMINED`. A search reads texts, and so it examines up to
`MAX_SEARCHED_BYTES` of text as well. The statement returns the matches among
them, and also the task at which it stopped for a bound (`is_last`), which need not match: the next
page begins after it. Thus a page costs about the same for an owner with a thousand tasks and for
one with a million, wherever the matches are.

With filters the ids are found first, in an index that has the columns of all filters but `q`; only
the rows of the page are read from the table. Without filters that would cost PostgreSQL one more
look-up for each row: a third of the time from query to answer.
"""

from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    false,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)

from service.database.identity import IDENTITY, as_owner
from service.tasks.columns import COLUMNS
from service.tasks.conditions import bounds_of, columns_of, passes, sort_key
from service.tasks.counting import LIVE
from service.tasks.table import owned, tasks

MAX_EXAMINED: Final = 1_000
"""So many tasks are examined for one page of a list with filters,"""
MAX_SEARCHED_BYTES: Final = 1_000_000
"""in a search also so many bytes of titles and descriptions; the last task is examined whole."""

_LIMIT: Final = bindparam("limit", type_=Integer)


@cache
def page_statement(sort: str, filters: frozenset[str], *, further: bool) -> Select[Any]:
    """Return the statement of a page: up to `limit` rows of COLUMNS.

    With filters, two more columns: `matches` and `is_last`.
    """
    descending = sort.startswith("-")
    column = sort.removeprefix("-")
    key = sort_key(column, descending=descending)
    bounds = bounds_of(filters, column, key, descending=descending, further=further)
    owned_part = (
        select(*((tasks.c.id, key.label("key")) if filters else COLUMNS))
        .correlate(IDENTITY)
        .where(owned(tasks, IDENTITY.c.id), LIVE, *bounds)
        .order_by(*_order(key, tasks.c.id, descending=descending))
    )
    if further:
        last = sort_key(column, descending=descending, value=bindparam("after_key", type_=key.type))
        here = tuple_(key, tasks.c.id)
        there = tuple_(last, bindparam("after_id", type_=tasks.c.id.type))
        owned_part = owned_part.where(here < there if descending else here > there)
    if not filters:
        return as_owner(owned_part.limit(_LIMIT))
    found = _matching(owned_part, filters, descending=descending).lateral("found")
    columns = (*COLUMNS, found.c.matches, found.c.is_last)
    mine = and_(owned(tasks, IDENTITY.c.id), tasks.c.id == found.c.id)
    order = _order(found.c.key, found.c.id, descending=descending)
    return as_owner(
        select(*columns).select_from(found.join(tasks, mine)).order_by(*order).limit(_LIMIT)
    )


def _matching(owned_part: Select[Any], filters: frozenset[str], *, descending: bool) -> Select[Any]:
    """Examine the first tasks of a part of an index; return the matches and where it stopped.

    The bound is a sub-select because the planner knows how many tasks an owner has on average, and
    it is the one with a thousand times as many that it has to serve. Told that the bound is more
    than all, it may read and sort all of the owner's tasks; of a bound that it cannot know it
    assumes that it is a small part, and reads in order.
    """
    is_search = "q" in filters
    most = _number(MAX_EXAMINED)
    most_bytes = _number(MAX_SEARCHED_BYTES)
    read = owned_part.add_columns(*(tasks.c[name] for name in columns_of(filters)))
    first = read.limit(select(most).scalar_subquery()).subquery("first")
    order = _order(first.c.key, first.c.id, descending=descending)
    number = func.row_number().over(order_by=order, rows=(None, 0)).label("number")
    if not is_search:
        examined = select(first, number).subquery("examined")
        matches = passes(filters, examined)
        is_last = examined.c.number == most
    else:
        size = _bytes_of(first).label("size")
        total = func.sum(_bytes_of(first)).over(order_by=order, rows=(None, 0)).label("total")
        examined = select(first, number, size, total).subquery("examined")
        # Nothing but a CASE keeps the texts behind the bound from being read.
        is_within = examined.c.total - examined.c.size < most_bytes
        matches = case((is_within, passes(filters, examined)), else_=false())
        is_full = or_(examined.c.number == most, examined.c.total >= most_bytes)
        is_last = and_(is_within, is_full)
    return (
        select(examined.c.id, examined.c.key, matches.label("matches"), is_last.label("is_last"))
        .where(or_(matches, is_last))
        .order_by(*_order(examined.c.key, examined.c.id, descending=descending))
        .limit(_LIMIT)
    )


def _number(value: int) -> ColumnElement[int]:
    return literal_column(str(value), Integer)


def _order(*keys: ColumnElement[Any], descending: bool) -> list[ColumnElement[Any]]:
    return [key.desc() if descending else key.asc() for key in keys]


def _bytes_of(rows: FromClause) -> ColumnElement[int]:
    """Return the size of a task's texts. PostgreSQL knows it without reading them."""
    description = func.coalesce(func.octet_length(rows.c.description), _number(0))
    return func.octet_length(rows.c.title, type_=Integer) + description
