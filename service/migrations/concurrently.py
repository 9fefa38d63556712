"""Create and drop indexes while requests read and write the table.

Only for migrations with `AUTOCOMMIT = True`: PostgreSQL refuses CONCURRENTLY in a transaction. Such
a migration can fail half-way, so each of its statements must be able to run twice.
"""

from alembic import op
from sqlalchemy import text

_IS_INVALID = text(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_index"
    " WHERE indexrelid = pg_catalog.to_regclass(:name) AND NOT indisvalid)"
)


def create_index(name: str, definition: str, *, unique: bool = False) -> None:
    """Create an index in schema `public`. `definition` begins with `ON public.<table>`.

    A build that failed left an invalid index, which slows writes down and serves no query. It is
    dropped first.
    """
    # Without a database, when the statements are only shown, there is nothing to drop.
    if not op.get_context().as_sql and op.get_bind().scalar(
        _IS_INVALID, {"name": f"public.{name}"}
    ):
        drop_index(name)
    kind = "UNIQUE INDEX" if unique else "INDEX"
    op.execute(f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {name} {definition}")


def drop_index(name: str) -> None:
    """Drop an index of schema `public`, if it exists."""
    op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS public.{name}")
