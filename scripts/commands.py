"""What the operators' commands have in common: exit codes, and where they find their database."""

import os
from typing import Final

from dotenv import dotenv_values

from service.database_url import DatabaseUrl, parse_database_url

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOTHING_DUE: Final = 3


class UsageError(Exception):
    """The command cannot begin; the message is one line."""


def database_url_from(name: str, *, meaning: str) -> DatabaseUrl:
    """Read a database URL from the environment or from .env. Raises `UsageError`."""
    value = os.environ.get(name) or dotenv_values(".env").get(name)
    if not value:
        raise UsageError(f"{name}: not set; it names {meaning}")
    try:
        return parse_database_url(value)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None
