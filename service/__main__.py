"""Run the service: `python -m service`.

Settings come from the environment or from `.env`; docs/settings.md lists them all.
Exit codes: 1 the service could not start; after a signal, the exit code of that signal, or 0 with
several workers. SIGHUP is ignored.
"""

import json
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from service.settings.reader import SettingsError, read
from service.system.garbage import make_collections_rare
from service.system.log_config import configure_logs, log_config, report_mistakes
from service.system.metrics_files import forget_process, shared_metrics
from service.system.supervisor import Supervisor

if TYPE_CHECKING:
    from starlette.types import ASGIApp

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
    """Create the application, in this process or in a worker, which does not call `main`."""
    from service.system.starting import LOAD_SECONDS  # noqa: PLC0415 - see above

    return _create_app(patience=LOAD_SECONDS)


def create_app_without_database() -> "ASGIApp":
    """Create an application that starts without waiting for the database."""
    return _create_app(patience=0)


def _create_app(*, patience: float) -> "ASGIApp":
    make_collections_rare()
    from service.app import create_app  # noqa: PLC0415 - see above

    try:
        return create_app(patience=patience)
    except SettingsError as error:  # they were changed after the check
        report_mistakes(error.lines)
        sys.exit(STARTUP_FAILURE)


def _workers() -> int:
    """Return WEB_CONCURRENCY, or 1 if it is not valid: the check of all settings reports that."""
    try:
        given = read(["WEB_CONCURRENCY"]).given.get("WEB_CONCURRENCY")
        return 1 if given is None else int(given.text)
    except (SettingsError, ValueError):
        return 1


def _serve_here() -> int:
    from service.start import check  # noqa: PLC0415 - see above

    start = check()
    if start is None:
        return 1
    config = _config(start.host, start.port, workers=1, database_answers=start.database_answers)
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):  # raised after the shutdown
        server.run()
    return 0 if server.started else STARTUP_FAILURE


def _serve_with_workers(workers: int) -> int:
    checking = [sys.executable, "-m", "service.start"]
    done = subprocess.run(checking, stdout=subprocess.PIPE, check=False)  # noqa: S603 - ours
    if done.returncode != 0:
        return 1
    config = _config(**json.loads(done.stdout), workers=workers)
    with shared_metrics():
        supervisor = Supervisor(config, [config.bind_socket()], ended=forget_process)
        supervisor.run()
    return supervisor.exit_code


def _config(host: str, port: int, *, database_answers: bool, workers: int) -> uvicorn.Config:
    # A name, because workers cannot be passed a function of `__main__`.
    factory = "create_app" if database_answers else "create_app_without_database"
    return uvicorn.Config(
        f"service.__main__:{factory}",
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
        log_config=log_config(),
        server_header=False,
        # Any client can send X-Forwarded-*; forwarded.py decides which senders to trust.
        proxy_headers=False,
        timeout_graceful_shutdown=10,
    )


if __name__ == "__main__":
    sys.exit(main())
