"""Whether a port can be had, and which."""

import errno
import socket
from typing import Final

# `localhost` may mean either: a server on the other one would get what is meant for ours.
_LOOPBACK: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NO_SUCH_FAMILY: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def why_not(port: int) -> str | None:
    """Tell why a server cannot listen on the port on the loopback addresses; None if it can."""
    for family, address in _LOOPBACK:
        try:
            with socket.socket(family) as probe:
                # A connection that has ended lingers on its port; it is in nobody's way.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as error:
            if error.errno in _NO_SUCH_FAMILY:
                continue
            if error.errno == errno.EADDRINUSE:
                return "is taken by another program"
            return f"cannot be used ({error.strerror})"
        if _answers(family, address, port):
            return "is taken by another program"
    return None


def free_ports(count: int) -> list[int]:
    """Give ports of 127.0.0.1 that nobody listens on just now, each another."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _answers(family: socket.AddressFamily, address: str, port: int) -> bool:
    """Connect: on some systems a bind succeeds beside a server that listens on all addresses."""
    with socket.socket(family) as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0
