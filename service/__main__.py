"""Run the service: `python -m service`.

Every setting comes from the environment or from .env; docs/settings.md lists them all.
Exit codes: 1 could not start; stopped by a signal, that signal's own.
"""

import json
import logging.config
import os
import subprocess
import sys
from tempfile import TemporaryDirectory
from typing import Any, Final

import uvicorn

from service.settings.reader import SettingsError, read

# Nothing else of the service is imported here: with several workers, this process only watches
# them.

LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(levelname)s %(name)s: %(message)s"},
        "json": {"format": "%(message)s"},
    },
    "handlers": {
        "stderr": {"()": "service.system.buffered_log.BufferedHandler", "formatter": "line"},
        "json": {"()": "service.system.buffered_log.BufferedHandler", "formatter": "json"},
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
    workers = _workers()
    return _serve_with_workers(workers) if workers > 1 else _serve_here()


def _workers() -> int:
    """Return WEB_CONCURRENCY; 1 where it is wrong, for the check of all settings reports that."""
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
    # Read when a worker imports the client library: the workers come after this.
    with TemporaryDirectory(prefix="metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        _serve(address["host"], address["port"], workers=workers)
    return 0


def _serve(host: str, port: int, *, workers: int) -> None:
    uvicorn.run(
        "service.app:create_app",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        http="service.http.protocol:BoundedHttpProtocol",
        # No WebSockets here; with them off, an offer of one is answered as the request it is.
        ws="none",
        # We write our own access log: uvicorn's has the query string in it.
        access_log=False,
        # Handed over rather than set once: every worker process needs it.
        log_config=LOGGING,
        server_header=False,
        # X-Forwarded-* can be sent by anybody: forwarded.py checks who sent it.
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    sys.exit(main())
