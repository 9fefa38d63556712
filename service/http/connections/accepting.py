"""`Loop`: uvloop's event loop, which accepts many waiting connections in one turn.

libuv accepts one connection of a listening socket in each turn of the loop. With many busy clients
a turn takes milliseconds. A thousand new connections, with those of probes among them, then wait
for seconds before anything is read from them, and are not even refused.

Here each turn that accepts a connection also accepts up to `MOST_IN_A_TURN` others that wait.
Connections that are already open cost nothing more.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

import uvloop

MOST_IN_A_TURN: Final = 64
"""Each takes about 0.1 ms, which delays the requests of others."""


class Loop(uvloop.Loop):
    """The event loop of the service."""

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], *args: Any, **kwargs: Any
    ) -> asyncio.Server:
        """Create a server as uvloop does. It must not use TLS."""
        turn = _Turn(self, protocol_factory)
        server = cast("asyncio.Server", await super().create_server(turn.accepted, *args, **kwargs))
        turn.server = server
        return server


class _Turn:
    """Accepts the waiting connections, once in each turn in which the loop has accepted one."""

    server: asyncio.Server | None = None

    def __init__(
        self, loop: asyncio.AbstractEventLoop, protocol_factory: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        self._loop = loop
        self._protocol_factory = protocol_factory
        self._is_due = False
        self._opening: set[asyncio.Task[object]] = set()

    def accepted(self) -> asyncio.BaseProtocol:
        """Return the protocol of a connection that the loop has accepted."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._accept_others)
        return self._protocol_factory()

    def _accept_others(self) -> None:
        self._is_due = False
        # A server that has been closed has no sockets.
        for listening in () if self.server is None else self.server.sockets:
            # An error: none waits, or no descriptor is left, which the loop itself handles.
            with suppress(OSError), listening.dup() as waiting:
                for _ in range(MOST_IN_A_TURN):
                    connection, _ = waiting.accept()
                    self._open(connection)

    def _open(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        opening = self._loop.create_task(
            self._loop.connect_accepted_socket(self._protocol_factory, connection)
        )
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
