"""Start with the database if it answers, and without it if it is down or hangs."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from service.database.execution import Database, DatabaseRefusedError, DatabaseUnavailableError
from service.security.key_watch import KeyWatch

logger = logging.getLogger("service")

START_SECONDS: Final = 0.25
"""How long a start waits for a database that does not answer."""
_LOAD_SECONDS: Final = 1.0
"""How much longer it waits for the revocations, without which no token is accepted."""


async def check_database(database: Database) -> bool:
    """Check the database once and return whether it can be reached. It may become so later.

    Raises `DatabaseRefusedError` for a database that must not be used.
    """
    try:
        await database.check()
    except DatabaseRefusedError:
        raise
    except DatabaseUnavailableError as error:
        logger.warning("cannot reach the database yet: %s; serving 503 until it answers", error)
        return False
    return True


@asynccontextmanager
async def watching_keys(
    key_watch: KeyWatch, database: Database, *, patience: float | None
) -> AsyncIterator[None]:
    """Start `key_watch`, and stop it at the end.

    Go on without the database if it does not answer within `patience` seconds, and without the
    revocations if it answers but they take longer than `_LOAD_SECONDS`. Both are tried further in
    the background. With None, wait until the first attempts have ended.
    """
    checking = asyncio.create_task(_check(database), name="check-database")
    watching = asyncio.create_task(_start(key_watch, checking), name="start-key-watch")
    try:
        answered, _ = await asyncio.wait({checking}, timeout=patience)
        if answered:
            await asyncio.wait({watching}, timeout=None if patience is None else _LOAD_SECONDS)
        if watching.done():
            watching.result()
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
        await key_watch.stop()


async def _start(key_watch: KeyWatch, checking: "asyncio.Task[bool]") -> None:
    await key_watch.start(reachable=await checking)


async def _check(database: Database) -> bool:
    try:
        return await check_database(database)
    except DatabaseRefusedError as error:  # `service/start.py` ends most starts before this
        logger.error("%s; serving 503 until this is corrected", error)  # noqa: TRY400 - it says all
        return False
