"""Run the service: `python -m service`.

Settings come from the environment or from `.env`; `.env.example` lists them all.
Exit codes: 1 the service could not start; after a signal, the exit code of that signal.
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
    # httpx logs a line for each key fetch; our own logger reports fetches that fail.
    "loggers": {
        "httpx": {"level": "WARNING"},
        "security": {"handlers": ["json"], "propagate": False},
    },
}


def main() -> int:
    """Check the settings, the address and the database, then serve until a signal arrives."""
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
            # A worker reads it when it imports the client library, so set it before they start.
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
        # There are no WebSockets: an upgrade to one is handled as an ordinary request.
        ws="none",
        # We write our own access log, because uvicorn's contains query strings.
        access_log=False,
        # Passed to uvicorn because every worker process configures its own logging.
        log_config=LOGGING,
        server_header=False,
        # Any client can send X-Forwarded-*; forwarded.py decides which senders to trust.
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )


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
