"""Run the service: `python -m service`.

Settings come from the environment or from `.env`; docs/settings.md lists them all.
Exit codes: 1 the service could not start; after a signal, the exit code of that signal.
"""

import json
import logging.config
import os
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from service.settings.reader import SettingsError, read
from service.system.buffered_log import LINE_FORMAT
from service.system.garbage import make_collections_rare

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# Nothing large of the service is imported here, because with several workers this process only
# supervises them.

LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": LINE_FORMAT},
        "json": {"format": "%(message)s"},
    },
    "handlers": {
        "stderr": {"()": "service.system.buffered_log.BufferedHandler", "formatter": "line"},
        "json": {"()": "service.system.buffered_log.BufferedHandler", "formatter": "json"},
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
    make_collections_rare()
    workers = _workers()
    return _serve_with_workers(workers) if workers > 1 else _serve_here()


def create_app() -> "ASGIApp":
    """Create the application, in this process or in a worker, which does not call `main`."""
    make_collections_rare()
    from service.app import create_app as create  # noqa: PLC0415 - see above

    return create()


def _workers() -> int:
    """Return WEB_CONCURRENCY, or 1 if it is not valid: the check of all settings reports that."""
    try:
        given = read(["WEB_CONCURRENCY"]).given.get("WEB_CONCURRENCY")
        return 1 if given is None else int(given.text)
    except (SettingsError, ValueError):
        return 1


def _serve_here() -> int:
    from service.start import check  # noqa: PLC0415 - see above

    address = check()
    if address is None:
        return 1
    _serve(address.host, address.port, workers=1)
    return 0


def _serve_with_workers(workers: int) -> int:
    checking = [sys.executable, "-m", "service.start"]
    done = subprocess.run(checking, stdout=subprocess.PIPE, check=False)  # noqa: S603 - ours
    if done.returncode != 0:
        return 1
    address = json.loads(done.stdout)
    # A worker reads this when it imports the client library, so set it before they start.
    with TemporaryDirectory(prefix="metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        _serve(address["host"], address["port"], workers=workers)
    return 0


def _serve(host: str, port: int, *, workers: int) -> None:
    uvicorn.run(
        "service.__main__:create_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        http="service.http.protocol:BoundedHttpProtocol",
        loop="service.http.accepting:Loop",
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


if __name__ == "__main__":
    sys.exit(main())
