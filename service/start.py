"""Check the settings, the address and the database before the service starts."""

import asyncio
import logging
import socket
from collections.abc import Coroutine
from dataclasses import dataclass

from service.app import open_database
from service.database.execution import DatabaseRefusedError
from service.settings.model import Settings
from service.settings.reader import SettingsError
from service.system.log_config import report_mistakes
from service.system.starting import CHECK_SECONDS, LOAD_SECONDS, check_database

logger = logging.getLogger("service")


@dataclass(frozen=True, slots=True)
class Start:
    """The settings to start with, and whether the database answered."""

    settings: Settings
    database_answers: bool

    @property
    def patience(self) -> float:
        """How many seconds the start waits for the database."""
        return LOAD_SECONDS if self.database_answers else 0


def check(*, listening: bool = False) -> Start | None:
    """Return how to start, or None if the service cannot start. The reasons are on stderr.

    If it is `listening` already, the address is not checked. A database that is down, or that does
    not answer in `CHECK_SECONDS`, does not prevent a start. No event loop may be running.
    """
    try:
        settings = Settings.load()
        if not listening:
            _require_address(settings)
        answers = _run(_check_database(settings))
    except SettingsError as error:
        mistakes = error.lines
    except DatabaseRefusedError as error:
        mistakes = [str(error)]
    else:
        return Start(settings, answers)
    report_mistakes(mistakes)
    return None


def _require_address(settings: Settings) -> None:
    """Raise `SettingsError` if HOST and PORT cannot be used; uvicorn's message has eight lines."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise SettingsError([f"HOST, PORT: cannot listen on {where} ({error.strerror})"]) from None


async def _check_database(settings: Settings) -> bool:
    database = open_database(settings, pool_size=1)
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check_database(database)
    except TimeoutError:
        logger.warning("the database does not answer yet; serving 503 until it does")
        return False
    finally:
        await database.close()


def _run(checking: Coroutine[None, None, bool]) -> bool:
    """Run the check like `asyncio.run`, but do not wait for threads: a name lookup may hang."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(checking)
    finally:
        loop.close()
