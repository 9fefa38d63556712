"""Check what can be checked, run the stack until a signal comes, turn errors into one line."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Final

from better_auth_keys import SigningKeyError
from scripts.devstack import ports
from scripts.devstack.home import DevHome, HomeError
from scripts.devstack.https import HttpsFront
from scripts.devstack.keeper import PartDiedAgainError
from scripts.devstack.postgres.embedded import PostgresError
from scripts.devstack.postgres.roles import RolesError
from scripts.devstack.run import DevRun, StartError
from scripts.devstack.settings import DEFAULT_HOME, DevSettings, UsageError, read_settings
from service.migrations.runner import MigrationError

DONE, FAILED, USAGE = 0, 1, 2
_FORESEEN: Final = (
    *(HomeError, StartError, PartDiedAgainError),
    *(PostgresError, RolesError, MigrationError, SigningKeyError),
    *(ValueError, OSError),
)


def run_stack(home: Path | None, *, api_only: bool, https: bool) -> int:
    """Run the stack on the folder `home` until it is told to stop; give the exit code."""
    try:
        settings = read_settings(home=home or DEFAULT_HOME, api_only=api_only, https=https)
    except UsageError as error:
        return _refuse(error, USAGE)
    try:
        folder = DevHome(settings.home)
        folder.acquire()
        _require_ports(settings)
        return asyncio.run(_run(settings, folder))
    except _FORESEEN as error:
        return _refuse(error, FAILED)


def tell_trust(home: Path | None) -> int:
    """Print how to trust the authority of the stack of `home`; give the exit code."""
    front = HttpsFront(DevHome(home or DEFAULT_HOME), port=0)
    if not front.authority.is_file():
        return _refuse(StartError("there is no authority yet: ./scripts/dev --https makes it"), 1)
    print(front.instructions(), end="")
    return DONE


def _require_ports(settings: DevSettings) -> None:
    for name, port in settings.ports.items():
        reason = ports.why_not(port)
        if reason:
            raise StartError(f"port {port} {reason}; stop that, or choose another with {name}")


async def _run(settings: DevSettings, home: DevHome) -> int:
    run = DevRun(settings, home)
    task = asyncio.ensure_future(run.until_cancelled())

    def stop() -> None:
        if not task.cancelling():
            task.cancel()
            return
        run.kill()
        os._exit(FAILED)  # at once: no clean-up that could hang

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        return DONE
    return FAILED


def _refuse(error: Exception, code: int) -> int:
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"dev: {text}", file=sys.stderr)
    return code
