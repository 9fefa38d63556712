"""Ports of this machine, and waiting for programs that listen on them."""

import asyncio
import contextlib
import errno
import random
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

# `localhost` may be either: a client could reach another program on the one that is not ours.
_LOOPBACK: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NO_SUCH_FAMILY: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_SERVER_PORTS: Final = range(20_000, 32_000)
_PATIENCE_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.05


def why_not(port: int) -> str | None:
    """Return why a server cannot listen on the port on loopback, or None if it can."""
    for family, address in _LOOPBACK:
        try:
            with socket.socket(family) as probe:
                # Closed connections may linger on the port; they do not block a server.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as error:
            if error.errno in _NO_SUCH_FAMILY:
                continue
            if error.errno == errno.EADDRINUSE:
                return "is taken by another program"
            return f"cannot be used ({error.strerror})"
        # On some systems a bind succeeds beside a server that listens on all addresses.
        if accepts(port, family, address):
            return "is taken by another program"
    return None


def accepts(
    port: int, family: socket.AddressFamily = socket.AF_INET, address: str = "127.0.0.1"
) -> bool:
    """Return whether a server accepts connections on the port."""
    with socket.socket(family) as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def free_ports(count: int) -> list[int]:
    """Return distinct free ports of 127.0.0.1, which no connection is given by accident.

    They are below the ports that systems give to the connections of clients (Linux from 32768,
    others from 49152), so a server that starts a second later still finds them free.
    """
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in random.sample(_SERVER_PORTS, len(_SERVER_PORTS)):
            probe = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == count:
                return found
    raise OSError(errno.EADDRINUSE, "too few free ports on 127.0.0.1")


async def until_answer(
    url: str, accept: Callable[[httpx.Response], bool], authority: Path | None = None
) -> None:
    """Repeat a request until `accept` is true for the response.

    The certificates of `authority` are trusted besides the system's.
    """
    tls = ssl.create_default_context(cafile=authority)
    # trust_env: requests to loopback must not go through a proxy.
    async with httpx.AsyncClient(trust_env=False, timeout=_PATIENCE_SECONDS, verify=tls) as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if accept(await client.get(url)):
                    return
            await asyncio.sleep(_POLL_SECONDS)


def is_ok(response: httpx.Response) -> bool:
    """Return whether the response has status 200."""
    return response.status_code == httpx.codes.OK


def has_a_key(response: httpx.Response) -> bool:
    """Return whether the response is a key set with at least one key."""
    if not is_ok(response):
        return False
    try:
        return bool(response.json()["keys"])
    except (ValueError, KeyError, TypeError):
        return False
