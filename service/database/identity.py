"""Queries that set the identity for row-level security in the same statement."""

from typing import Any, Final

from sqlalchemy import Select, Subquery, Text, bindparam, func, literal_column, select, true

IDENTITY_PARAMETER: Final = "identity"


def _identity() -> Subquery:
    set_identity = func.set_config(
        "app.user_id", bindparam(IDENTITY_PARAMETER, type_=Text), true(), type_=Text
    )
    # OFFSET 0 keeps the planner from merging the sub-select into the query and moving the call.
    return select(set_identity.label("id")).offset(literal_column("0")).subquery("identity")


IDENTITY: Final = _identity()
"""Reading it sets the identity for the transaction. `IDENTITY.c.id` is the owner's id."""


def as_owner(query: Select[Any]) -> Select[Any]:
    """Wrap a query for the rows of `IDENTITY.c.id` in the form that `Database.run` executes.

    The query must have a LIMIT, which together with LATERAL keeps the planner from reordering. Its
    ORDER BY is kept, because the outer query reads one row (the identity) and then the inner rows.
    """
    rows = query.lateral("rows")
    return select(*rows.c).select_from(IDENTITY.join(rows, true()))
