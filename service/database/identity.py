"""The identity that row-level security compares with, set by the statement that needs it."""

from typing import Any, Final

from sqlalchemy import Select, Subquery, Text, bindparam, func, literal_column, select, true

IDENTITY_PARAMETER: Final = "identity"


def _identity() -> Subquery:
    set_identity = func.set_config(
        "app.user_id", bindparam(IDENTITY_PARAMETER, type_=Text), true(), type_=Text
    )
    # OFFSET 0 keeps the planner from pulling the sub-select up and the call around.
    return select(set_identity.label("id")).offset(literal_column("0")).subquery("identity")


IDENTITY: Final = _identity()
"""The identity, set for the transaction by being read: `IDENTITY.c.id` is the owner's id."""


def as_owner(query: Select[Any]) -> Select[Any]:
    """Wrap a query on rows of `IDENTITY.c.id` into the shape that `Database.run` executes.

    The query must have a LIMIT: together with LATERAL it keeps the planner from reordering. Its
    ORDER BY is kept, because the outer query reads one row (the identity) and then the inner rows.
    """
    rows = query.lateral("rows")
    return select(*rows.c).select_from(IDENTITY.join(rows, true()))
