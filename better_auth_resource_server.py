"""The console commands of the installed application.

Another distribution may also have packages named `service` and `scripts`. So each command puts the
folder of this file first on the path, to run this application's code.
"""

import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn


def check_config() -> NoReturn:
    """Run `check-config`."""
    _run("check_config.command")


def migrate() -> NoReturn:
    """Run `migrate`."""
    _run("migrate")


def purge() -> NoReturn:
    """Run `purge`."""
    _run("purge")


def revoke_tokens() -> NoReturn:
    """Run `revoke-tokens`."""
    _run("revoke_tokens")


def rotate_keys() -> NoReturn:
    """Run `rotate-keys`."""
    _run("rotate_keys.command")


def _run(command: str) -> NoReturn:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    sys.exit(import_module(f"scripts.operations.{command}").main())
