"""Remove for good what nobody can want any more.

    purge             show how much would be removed
    purge --execute   remove it

Tasks that were deleted over 30 days ago can no longer be restored, replies kept under an
Idempotency-Key are given again for 24 hours, and a revocation is kept for the lifetime of a session
and two days more, counted from the last token that it refused.
With AUTH_DATABASE_URL set, Better Auth's expired sessions go, too. Connects as PURGE_DATABASE_URL
(a role that is given nothing but these rows), from the environment or .env.
Exit codes: 0 done, 1 failed, 2 usage, 3 nothing to do.
"""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Interval,
    MetaData,
    Table,
    Text,
    delete,
    func,
    select,
    tuple_,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from scripts.operations.commands import DONE, FAILED, NOTHING_DUE, USAGE, Parser, UsageError, load
from service.database.url import DatabaseUrl
from service.settings.base import SettingsModel
from service.tasks.functions import REPLAYABLE, RESTORABLE
from service.tasks.table import idempotency_keys, tasks

# Short transactions: nobody waits for a long one, and one that is cut off loses little.
BATCH: Final = 5_000
_CONNECT_SECONDS: Final = 10
_revocations: Final = Table(
    "token_revocations",
    MetaData(schema="public"),
    Column("id", BigInteger, primary_key=True),
    Column("at", DateTime(timezone=True)),
    Column("refused_at", DateTime(timezone=True)),
    Column("session_lifetime", Interval),
)
# Better Auth's, in the schema that its role works in.
_sessions: Final = Table(
    "session",
    MetaData(),
    Column("id", Text, primary_key=True),
    Column("expiresAt", DateTime(timezone=True)),
)
_Due = Mapping[str, tuple[Table, ColumnElement[bool]]]
_OURS: Final[_Due] = {
    "tasks": (tasks, tasks.c.deleted_at < func.now() - RESTORABLE),
    "idempotency_keys": (
        idempotency_keys,
        idempotency_keys.c.created_at < func.now() - REPLAYABLE,
    ),
    # No token lives for two days.
    "token_revocations": (
        _revocations,
        func.greatest(_revocations.c.at, _revocations.c.refused_at)
        < func.now() - _revocations.c.session_lifetime - timedelta(days=2),
    ),
}
_BETTER_AUTHS: Final[_Due] = {
    "sessions": (_sessions, _sessions.c.expiresAt < func.now()),
}


class PurgeSettings(SettingsModel):
    """Where to connect."""

    purge_database_url: DatabaseUrl
    """PostgreSQL as role `purge`, for `purge`. The role reaches only rows that can no longer be
    restored."""

    auth_database_url: DatabaseUrl | None = None


class PurgeError(Exception):
    """The purge did not come to its end; the message is one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    parser = Parser("purge", __doc__)
    parser.add_argument("--execute", action="store_true", help="remove; without it, only show")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    arguments = parser.parse_args(argv)
    try:
        settings = load(PurgeSettings)
        url = settings.purge_database_url
        counts = asyncio.run(_purge(url, _OURS, execute=arguments.execute))
        if settings.auth_database_url is not None:
            url = settings.auth_database_url
            counts |= asyncio.run(_purge(url, _BETTER_AUTHS, execute=arguments.execute))
    except UsageError as error:
        print(f"purge: {error}", file=sys.stderr)
        return USAGE
    except PurgeError as error:
        print(f"purge: {error}", file=sys.stderr)
        return FAILED
    if arguments.json:
        print(json.dumps({"executed": arguments.execute, **counts}))
    else:
        _tell(counts, executed=arguments.execute)
    return DONE if any(counts.values()) else NOTHING_DUE


async def _purge(url: DatabaseUrl, what: _Due, *, execute: bool) -> dict[str, int]:
    engine = create_async_engine(
        url.url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={**url.connect_args(), "timeout": _CONNECT_SECONDS},
    )
    work = _remove if execute else _count
    try:
        async with engine.connect() as connection:
            return {name: await work(connection, name, *due) for name, due in what.items()}
    except DBAPIError as error:
        # The first line of what the server says; SQL and parameters stay out of it.
        raise PurgeError(str(error.orig).partition("\n")[0].rpartition(">: ")[2]) from error
    except (OSError, TimeoutError) as error:
        raise PurgeError(f"cannot reach the database ({type(error).__name__})") from error
    finally:
        await engine.dispose()


async def _count(
    connection: AsyncConnection, _name: str, table: Table, due: ColumnElement[bool]
) -> int:
    counted = func.count(table.primary_key.columns[0])
    return int(await connection.scalar(select(counted).where(due)) or 0)


async def _remove(
    connection: AsyncConnection, name: str, table: Table, due: ColumnElement[bool]
) -> int:
    key = tuple_(*table.primary_key)
    batch = delete(table).where(key.in_(select(*table.primary_key).where(due).limit(BATCH)))
    removed = 0
    while True:
        done = (await connection.execute(batch)).rowcount
        await connection.commit()
        removed += done
        if done < BATCH:
            return removed
        print(f"purge: {removed} {name} removed, more to come", file=sys.stderr)


def _tell(counts: Mapping[str, int], *, executed: bool) -> None:
    for name, number in counts.items():
        print(f"{'removed' if executed else 'due'}  {number} {name}")
    if not any(counts.values()):
        print("purge: nothing is due", file=sys.stderr)
    elif not executed:
        print("purge: nothing was changed; add --execute to remove", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
