"""Queries that set the identity for row-level security in the same statement."""

from typing import Final

IDENTITY_PARAMETER: Final = "identity"

# OFFSET 0 keeps the planner from merging the sub-select into the query and moving the call.
_IDENTITY: Final = (
    f"(SELECT set_config('app.user_id', :{IDENTITY_PARAMETER}::text, true) AS id OFFSET 0)"
)


def as_owner(query: str) -> str:
    """Wrap a query for rows of `identity.id`, the owner's id, in the form for `Database.run`.

    The query must have a LIMIT, which together with LATERAL keeps the planner from reordering. Its
    ORDER BY is kept, because the outer query reads one row (the identity) and then the inner rows.
    """
    return f"SELECT rows.* FROM {_IDENTITY} AS identity JOIN LATERAL ({query}) AS rows ON true"  # noqa: S608 - the callers' constants
