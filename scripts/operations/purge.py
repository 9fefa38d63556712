"""Permanently delete rows that are no longer needed.

    purge             show how many rows would be deleted
    purge --execute   delete them

Deletes tasks that were deleted over 30 days ago (they can no longer be restored), replies stored
under an Idempotency-Key over 24 hours ago, and revocations after the lifetime of a session plus two
days, counted from the last token that each refused.
If AUTH_DATABASE_URL is set, Better Auth's sessions that expired over two days ago are deleted, too.
Connects as PURGE_DATABASE_URL (a role that can see these rows only), from the environment or .env.
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
from sqlalchemy.ext.asyncio import AsyncConnection

from scripts.operations.commands import ONLY_SHOWN, Parser, UsageError, load
from scripts.operations.exit_codes import DONE, NOTHING_DUE, USAGE, fail
from service.database.command_connection import DatabaseError, connect
from service.database.url import DatabaseUrl
from service.settings.base import SettingsModel
from service.tasks.creation import REPLAYABLE
from service.tasks.functions import RESTORABLE
from service.tasks.table import idempotency_keys, tasks

# Short transactions block others only briefly, and an interrupted run loses little.
BATCH: Final = 5_000
_revocations: Final = Table(
    "token_revocations",
    MetaData(schema="public"),
    Column("id", BigInteger, primary_key=True),
    Column("at", DateTime(timezone=True)),
    Column("refused_at", DateTime(timezone=True)),
    Column("session_lifetime", Interval),
)
# Better Auth's table, in the schema of its role.
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
    # Two days is longer than any token lives.
    "token_revocations": (
        _revocations,
        func.greatest(_revocations.c.at, _revocations.c.refused_at)
        < func.now() - _revocations.c.session_lifetime - timedelta(days=2),
    ),
}
_BETTER_AUTHS: Final[_Due] = {
    # A session that expired later may have a valid token: web/'s trigger would revoke it.
    "sessions": (_sessions, _sessions.c.expiresAt < func.now() - timedelta(days=2)),
}


class PurgeSettings(SettingsModel):
    """The databases to purge."""

    purge_database_url: DatabaseUrl
    """PostgreSQL as role `purge`, for `purge`. The role reaches only rows that can no longer be
    restored."""

    auth_database_url: DatabaseUrl | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser("purge", __doc__)
    parser.add_argument(
        "--execute", action="store_true", help="delete the rows (default: only count them)"
    )
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
        return fail("purge", error, USAGE)
    except DatabaseError as error:
        return fail("purge", error)
    if arguments.json:
        print(json.dumps({"executed": arguments.execute, **counts}))
    else:
        _report(counts, executed=arguments.execute)
    return DONE if any(counts.values()) else NOTHING_DUE


async def _purge(url: DatabaseUrl, what: _Due, *, execute: bool) -> dict[str, int]:
    work = _remove if execute else _count
    async with connect(url) as connection:
        return {name: await work(connection, name, *due) for name, due in what.items()}


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
        print(f"purge: {removed} {name} removed so far", file=sys.stderr)


def _report(counts: Mapping[str, int], *, executed: bool) -> None:
    for name, number in counts.items():
        print(f"{'removed' if executed else 'due'}  {number} {name}")
    if not any(counts.values()):
        print("purge: nothing is due", file=sys.stderr)
    elif not executed:
        print(f"purge: {ONLY_SHOWN}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
