"""Check the settings, the address and the database before the service starts.

With several workers, `python -m service` runs this in a child process (`python -m service.start`).
The process that supervises the workers then does not hold the whole application in memory.
"""

import asyncio
import json
import socket
import sys
from dataclasses import asdict, dataclass

from service.app import check_database, open_database
from service.database.execution import DatabaseRefusedError
from service.settings.model import Settings
from service.settings.reader import SettingsError


@dataclass(frozen=True, slots=True)
class Address:
    """The address to listen on."""

    host: str
    port: int


def check() -> Address | None:
    """Return the address, or None if the service cannot start. Standard error has the reasons."""
    try:
        settings = Settings.load()
        _require_address(settings)
        asyncio.run(_check_database(settings))
    except SettingsError as error:
        mistakes = error.lines
    except DatabaseRefusedError as error:
        mistakes = [str(error)]
    else:
        return Address(settings.host, settings.port)
    for line in mistakes:
        sys.stderr.write(f"service: {line}\n")
    return None


def _require_address(settings: Settings) -> None:
    """Raise `SettingsError` if HOST and PORT cannot be used; uvicorn's message has eight lines."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise SettingsError([f"HOST, PORT: cannot listen on {where} ({error.strerror})"]) from None


async def _check_database(settings: Settings) -> None:
    database = open_database(settings, pool_size=1)
    try:
        await check_database(database)
    finally:
        await database.close()


def main() -> int:
    """Write the address to standard output as JSON, and return the exit code."""
    address = check()
    if address is None:
        return 1
    sys.stdout.write(json.dumps(asdict(address)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
