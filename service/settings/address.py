"""Where the service listens: HOST and PORT, for processes that need no other setting."""

import socket
from typing import Final

from service.settings.reader import read

HOST: Final = "127.0.0.1"
PORT: Final = 8000
_BACKLOG: Final = 2048


def read_address() -> tuple[str, int]:
    """Return HOST and PORT, or their defaults. The host is not checked.

    Raises `SettingsError`, or `ValueError` for a PORT that is not a number.
    """
    given = read(["HOST", "PORT"]).given
    host = given["HOST"].text if "HOST" in given else HOST
    port = int(given["PORT"].text) if "PORT" in given else PORT
    return host, port


def open_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address. Raises `OSError` or `OverflowError`."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
