"""What the operators' commands have in common: exit codes, settings, and how they refuse."""

import argparse
import getpass
import os
import socket
from datetime import timedelta
from typing import Final, NoReturn, TypeVar

from service.settings.base import SettingsModel
from service.settings.durations import parse_duration
from service.settings.reader import SettingsError

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOTHING_DUE: Final = 3


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command line; `--help` is the module's docstring."""

    def __init__(self, prog: str, description: str | None) -> None:
        super().__init__(
            prog,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """End with the code for usage."""
        self.exit(USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


class UsageError(Exception):
    """The command cannot begin; the message is one line."""


_Model = TypeVar("_Model", bound=SettingsModel)


def load(model: type[_Model]) -> _Model:
    """Read a command's settings as the service reads its own. Raises `UsageError`."""
    try:
        return model.load()
    except SettingsError as error:
        raise UsageError(str(error)) from None


def duration(text: str) -> timedelta:
    """Read an option that is a span of time."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def operator() -> str:
    """Say who is at the keyboard, or which machine's timer it is, for the audit table."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"[:200]
