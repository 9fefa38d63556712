"""Run the service: `python -m service`.

Settings come from the environment or from `.env`; docs/settings.md lists them all.
Exit codes: 1 the service could not start; after a signal, the exit code of that signal, or 0 with
several workers. SIGHUP is ignored.
"""

import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from service.settings.address import open_listener, read_address
from service.settings.reader import SettingsError, read
from service.system.garbage import make_collections_rare
from service.system.log_config import configure_logs, log_config
from service.system.metrics_files import forget_process, shared_metrics
from service.system.supervisor import CANNOT_START, Supervisor

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from service.start import Start

# Nothing large of the service is imported here, because with several workers this process only
# supervises them.


def main() -> int:
    """Check the settings, the address and the database, then serve until a signal arrives."""
    configure_logs()
    make_collections_rare()
    # SIGHUP is sent when a terminal closes, and by tools that rotate logs. Nothing can be reloaded.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    workers = _workers()
    return _serve_with_workers(workers) if workers > 1 else _serve_here()


def create_app() -> "ASGIApp":
    """Create the application in a worker, which does not call `main`. Exit if it cannot start."""
    make_collections_rare()
    start = _check(listening=True)
    if start is None:
        sys.exit(CANNOT_START)
    return _create_app(start)


def _check(*, listening: bool = False) -> "Start | None":
    """Import the application, and return how to start; None if the service cannot start."""
    import_application()
    from service.start import check  # noqa: PLC0415 - see above

    return check(listening=listening)


def import_application() -> None:
    """Import the application, and of its packages only what it needs to start."""
    from service.system.light_imports import import_fastapi, import_httpx  # noqa: PLC0415 - see above

    import_fastapi()
    import_httpx()
    import service.app  # noqa: F401, PLC0415 - after the packages


def _create_app(start: "Start") -> "ASGIApp":
    from service.app import create_app  # noqa: PLC0415 - see above

    return create_app(start.settings, patience=start.patience)


def _workers() -> int:
    """Return WEB_CONCURRENCY, or 1 if it is not valid: the check of all settings reports that."""
    try:
        given = read(["WEB_CONCURRENCY"]).given.get("WEB_CONCURRENCY")
        return 1 if given is None else int(given.text)
    except (SettingsError, ValueError):
        return 1


def _serve_here() -> int:
    start = _check()
    if start is None:
        return 1
    server = uvicorn.Server(_config(_create_app(start), start.settings.host, start.settings.port))
    with suppress(KeyboardInterrupt):  # raised after the shutdown
        server.run()
    return 0 if server.started else STARTUP_FAILURE


def _serve_with_workers(workers: int) -> int:
    """Listen at once, so that requests wait for the first worker instead of being refused."""
    while (listener := _open_listener()) is None:
        if _check() is None:  # it reports why, with all other mistakes
            return 1
    host, port = listener.getsockname()[:2]
    # A name, because workers cannot be passed a function of `__main__`.
    config = _config("service.__main__:create_app", host, port, workers=workers)
    with shared_metrics():
        supervisor = Supervisor(config, [listener], ended=forget_process)
        supervisor.run()
    return supervisor.exit_code


def _open_listener() -> socket.socket | None:
    """Return a socket that listens on HOST and PORT, or None if that is not possible."""
    try:
        return open_listener(*read_address())
    except (OSError, OverflowError, SettingsError, ValueError):
        return None


def _config(app: "ASGIApp | str", host: str, port: int, *, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        host=host,
        port=port,
        workers=workers,
        http="service.http.connections.protocol:BoundedHttpProtocol",
        loop="service.http.connections.accepting:Loop",
        # There are no WebSockets: an upgrade to one is handled as an ordinary request.
        ws="none",
        # We write our own access log, because uvicorn's contains query strings.
        access_log=False,
        # Passed to uvicorn because every worker process configures its own logging.
        log_config=log_config(),
        server_header=False,
        # Any client can send X-Forwarded-*; forwarded.py decides which senders to trust.
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    sys.exit(main())
