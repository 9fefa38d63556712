"""Run the service: `python -m service`.

Every setting comes from the environment or from .env; .env.example names them all.
Exit codes: 1 could not start; stopped by a signal, that signal's own.
"""

import asyncio
import logging.config
import os
import socket
import sys
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any, Final

import uvicorn

from service.app import check_database, open_database
from service.database.execution import DatabaseRefusedError
from service.http.protocol import BoundedHttpProtocol
from service.settings.model import Settings
from service.settings.reader import SettingsError
from service.system.buffered_log import BufferedHandler
from service.system.metrics import MULTIPROCESS

LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(levelname)s %(name)s: %(message)s"},
        "json": {"format": "%(message)s"},
    },
    "handlers": {
        "stderr": {"()": BufferedHandler, "formatter": "line"},
        "json": {"()": BufferedHandler, "formatter": "json"},
    },
    "root": {"level": "INFO", "handlers": ["stderr"]},
    # One line for each key fetch is what our own logger says better.
    "loggers": {
        "httpx": {"level": "WARNING"},
        "security": {"handlers": ["json"], "propagate": False},
    },
}


def main() -> int:
    """Check what can be checked, then serve until told to stop."""
    logging.config.dictConfig(LOGGING)
    try:
        settings = Settings.load()
        _require_address(settings)
        asyncio.run(_check(settings))
    except SettingsError as error:
        return _refuse(error.lines)
    except DatabaseRefusedError as error:
        return _refuse([str(error)])
    with ExitStack() as stack:
        if settings.web_concurrency > 1:
            # Read when a worker imports the client library: the workers come after this.
            folder = stack.enter_context(TemporaryDirectory(prefix="metrics-"))
            os.environ[MULTIPROCESS] = folder
        _serve(settings)
    return 0


def _serve(settings: Settings) -> None:
    uvicorn.run(
        "service.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.web_concurrency,
        http=BoundedHttpProtocol,
        # No WebSockets here; with them off, an offer of one is answered as the request it is.
        ws="none",
        # We write our own access log: uvicorn's has the query string in it.
        access_log=False,
        # Handed over rather than set once: every worker process needs it.
        log_config=LOGGING,
        server_header=False,
        # X-Forwarded-* is anybody's claim: forwarded.py looks who makes it.
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )


def _require_address(settings: Settings) -> None:
    """Raise `SettingsError` if nobody could listen there: uvicorn would say it in eight lines."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise SettingsError([f"HOST, PORT: cannot listen on {where} ({error.strerror})"]) from None


async def _check(settings: Settings) -> None:
    database = open_database(settings, pool_size=1)
    try:
        await check_database(database)
    finally:
        await database.close()


def _refuse(lines: list[str]) -> int:
    for line in lines:
        sys.stderr.write(f"service: {line}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
