"""Start with the database if it answers, and without it if it is down or hangs."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from service.database.execution import Database, DatabaseRefusedError, DatabaseUnavailableError
from service.security.key_watch import KeyWatch

logger = logging.getLogger("service")

CHECK_SECONDS: Final = 0.25
"""How long the check before a start waits for the database."""
LOAD_SECONDS: Final = 1.0
"""How long a start then waits for the pool and the revocations: without them, no token is accepted.
It does not wait if the database did not answer the check."""


async def check_database(database: Database) -> bool:
    """Check the database once, and return whether it can be reached now.

    Raises `DatabaseRefusedError` for a database that must not be used.
    """
    try:
        await database.check_role()
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
    """Check the database, load the revocations and start `key_watch`; stop it at the end.

    Continue without them after `patience` seconds, while attempts go on in the background. With
    None, wait until the first attempts have ended. The pool is opened while requests are served,
    in turn, because all connections at once would delay the first requests.
    """
    watching = asyncio.create_task(_start(key_watch, database), name="start-key-watch")
    opening = asyncio.create_task(_open_pool(watching, database), name="open-pool")
    try:
        await asyncio.wait({watching}, timeout=patience)
        if watching.done():
            watching.result()
        yield
    finally:
        watching.cancel()
        opening.cancel()
        await asyncio.wait({watching, opening})
        await key_watch.stop()


async def _open_pool(watching: "asyncio.Task[None]", database: Database) -> None:
    await asyncio.wait({watching})
    await database.open_in_turn()


async def _start(key_watch: KeyWatch, database: Database) -> None:
    try:
        reachable = await check_database(database)
    except DatabaseRefusedError as error:  # `service/start.py` ends most starts before this
        logger.error("%s; serving 503 until this is corrected", error)  # noqa: TRY400 - the message is complete
        reachable = False
    except Exception:  # the work of `key_watch` must begin: without it no token is ever accepted
        logger.exception("unexpected error while checking the database; serving 503 until it works")
        reachable = False
    await key_watch.start(reachable=reachable)
