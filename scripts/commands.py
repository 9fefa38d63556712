"""What the operators' commands have in common: exit codes, and where they find their settings."""

import argparse
import getpass
import os
import socket
from typing import Final, NoReturn

from service.database_url import DatabaseUrl, parse_database_url
from service.setting_files import SettingFileError, given, layers

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


def setting(name: str) -> str | None:
    """Read a setting as the service does; None where it is not set. Raises `UsageError`."""
    try:
        said = given(name, layers())
    except SettingFileError as error:
        raise UsageError(str(error)) from None
    return None if said is None else said.text


def database_url_from(name: str, *, meaning: str) -> DatabaseUrl:
    """Read a database URL from the settings. Raises `UsageError`."""
    value = setting(name)
    if value is None:
        raise UsageError(f"{name}: not set; it names {meaning}")
    try:
        return parse_database_url(value)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def operator() -> str:
    """Say who is at the keyboard, or which machine's timer it is, for the audit table."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"[:200]
