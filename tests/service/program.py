"""The service started as a program with `python -m service`."""

import os
import socket
import time

from service.settings.model import Settings


def environment(database_url: str, port: int, **changes: str) -> dict[str, str]:
    """Return an environment with these settings of the service and no others."""
    own = {
        "ENVIRONMENT": "development",
        "DATABASE_URL": database_url,
        "BETTER_AUTH_URL": "http://localhost:1",
        "SERVICE_SECRET": "0123456789abcdef0123456789abcdef",
        "PORT": str(port),
        **changes,
    }
    theirs = {name.upper() for name in Settings.model_fields}
    return {**{name: text for name, text in os.environ.items() if name not in theirs}, **own}


def free_port() -> int:
    """Return a port that no other process uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(port: int, path: str, headers: str = "") -> bytes:
    """Send one request as soon as the service listens, a moment after its start-up message."""
    with connect(port) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        return connection.recv(100)


def connect(port: int) -> socket.socket:
    """Connect as soon as the service listens."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
