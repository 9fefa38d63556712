"""Check the settings and ports, run the stack until a signal, and report errors in one line."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Final

from better_auth_keys import SigningKeyError
from scripts.devstack import network
from scripts.devstack.home import DevHome, HomeError
from scripts.devstack.https import HttpsFront
from scripts.devstack.keeper import PartDiedAgainError
from scripts.devstack.postgres.embedded import PostgresError
from scripts.devstack.run import DevRun, StartError
from scripts.devstack.settings import DEFAULT_HOME, DevSettings, UsageError, read_settings
from scripts.operations.exit_codes import DONE, FAILED, USAGE, fail
from service.database.command_connection import DatabaseError
from service.migrations.errors import MigrationError

# Errors whose message is meant for the user. Any other is a bug and shows its traceback.
_EXPECTED: Final = (
    HomeError,
    StartError,
    PartDiedAgainError,
    PostgresError,
    DatabaseError,
    MigrationError,
    SigningKeyError,
    ValueError,
    OSError,
)


def run_stack(home: Path | None, *, api_only: bool, https: bool) -> int:
    """Run the stack on the folder `home` until it is told to stop, and return the exit code."""
    try:
        settings = read_settings(home=home or DEFAULT_HOME, api_only=api_only, https=https)
    except UsageError as error:
        return _fail(error, USAGE)
    try:
        folder = DevHome(settings.home)
        folder.acquire()
        _require_ports(settings)
        return asyncio.run(_run(settings, folder))
    except _EXPECTED as error:
        return _fail(error)


def show_trust(home: Path | None) -> int:
    """Print how to trust the certificate authority of a stack, and return the exit code."""
    front = HttpsFront(DevHome(home or DEFAULT_HOME), port=0)
    if not front.authority.is_file():
        return fail("dev", "there is no certificate authority yet: run ./scripts/dev --https once")
    print(front.instructions(), end="")
    return DONE


def _require_ports(settings: DevSettings) -> None:
    for name, port in settings.ports.items():
        reason = network.why_not(port)
        if reason:
            raise StartError(f"port {port} {reason}; stop it, or set {name} to another port")


async def _run(settings: DevSettings, home: DevHome) -> int:
    run = DevRun(settings, home)
    task = asyncio.ensure_future(run.until_cancelled())

    def stop() -> None:
        if not task.cancelling():
            task.cancel()
            return
        run.kill()
        os._exit(FAILED)  # without clean-up, which could hang

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        return DONE
    return FAILED


def _fail(error: Exception, code: int = FAILED) -> int:
    return fail("dev", " ".join(str(error).split()) or type(error).__name__, code)
