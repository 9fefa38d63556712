"""What the operators' commands share: the command line, settings, and common options."""

import argparse
import getpass
import os
import socket
from datetime import timedelta
from typing import Final, NoReturn, TypeVar

from scripts.operations.exit_codes import USAGE
from service.settings.base import SettingsModel
from service.settings.durations import parse_duration
from service.settings.reader import SettingsError

ONLY_SHOWN: Final = "nothing was changed; add --execute to apply this"
"""What a command says after it has shown what it would do."""
_MAX_REASON: Final = 500


class Parser(argparse.ArgumentParser):
    """Parse a command line: errors take one line, and `--help` is the module's docstring."""

    def __init__(self, prog: str, description: str | None) -> None:
        super().__init__(
            prog,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Exit with the code for a usage error."""
        self.exit(USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


class UsageError(Exception):
    """The options or settings are wrong, so the command did nothing. The message is one line."""


_Model = TypeVar("_Model", bound=SettingsModel)


def load(model: type[_Model]) -> _Model:
    """Read a command's settings the way the service reads its own. Raises `UsageError`."""
    try:
        return model.load()
    except SettingsError as error:
        raise UsageError(str(error)) from None


def duration(text: str) -> timedelta:
    """Parse an option that is a duration."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def check_reason(reason: str) -> None:
    """Check the text for the audit table. Raises `UsageError`."""
    if not (reason.isprintable() and 0 < len(reason) <= _MAX_REASON):
        raise UsageError(f"--reason must be one line of 1 to {_MAX_REASON} characters")


def operator() -> str:
    """Return the user and host that run the command, for the audit table."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"[:200]
