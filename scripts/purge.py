"""Remove for good what nobody can want any more.

    purge             show how much would be removed
    purge --execute   remove it

Tasks that were deleted over 30 days ago can no longer be restored, and replies kept under an
Idempotency-Key are given again for 24 hours. Connects as PURGE_DATABASE_URL (a role that is given
nothing but these rows), from the environment or .env.
Exit codes: 0 done, 1 failed, 2 usage, 3 nothing to do.
"""

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import ColumnElement, Table, delete, func, select, tuple_
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from scripts.commands import DONE, FAILED, NOTHING_DUE, USAGE, Parser, UsageError, database_url_from
from service.database_url import DatabaseUrl
from service.tasks.repository import REPLAYABLE, RESTORABLE
from service.tasks.table import idempotency_keys, tasks

# Short transactions: nobody waits for a long one, and one that is cut off loses little.
BATCH: Final = 5_000
_CONNECT_SECONDS: Final = 10
_WHAT: Final[Mapping[str, tuple[Table, ColumnElement[bool]]]] = {
    "tasks": (tasks, tasks.c.deleted_at < func.now() - RESTORABLE),
    "idempotency_keys": (
        idempotency_keys,
        idempotency_keys.c.created_at < func.now() - REPLAYABLE,
    ),
}


class PurgeError(Exception):
    """The purge did not come to its end; the message is one line."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; give its exit code."""
    parser = Parser("purge", __doc__)
    parser.add_argument("--execute", action="store_true", help="remove; without it, only show")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    arguments = parser.parse_args(argv)
    try:
        url = database_url_from("PURGE_DATABASE_URL", meaning="the role purge")
        counts = asyncio.run(_purge(url, execute=arguments.execute))
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


async def _purge(url: DatabaseUrl, *, execute: bool) -> dict[str, int]:
    engine = create_async_engine(
        url.url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={**url.connect_args(), "timeout": _CONNECT_SECONDS},
    )
    work = _remove if execute else _count
    try:
        async with engine.connect() as connection:
            return {name: await work(connection, name) for name in _WHAT}
    except DBAPIError as error:
        # The first line of what the server says; SQL and parameters stay out of it.
        raise PurgeError(str(error.orig).partition("\n")[0].rpartition(">: ")[2]) from error
    except (OSError, TimeoutError) as error:
        raise PurgeError(f"cannot reach the database ({type(error).__name__})") from error
    finally:
        await engine.dispose()


async def _count(connection: AsyncConnection, name: str) -> int:
    table, due = _WHAT[name]
    return int(await connection.scalar(select(func.count(table.c.owner_id)).where(due)) or 0)


async def _remove(connection: AsyncConnection, name: str) -> int:
    table, due = _WHAT[name]
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
