"""`StreamConnection`: a connection on which a response without an end is sent.

`BoundedHttpProtocol` hands a connection over to it when such a response has begun, and the request
then ends. So a stream is not a request in flight, has none of their time limits, and needs neither
a task nor a parser. Its own rules are:

1. What the client sends from now on is ignored. The response has `Connection: close`.
2. If the client closes its side of the connection, it has left, and the stream ends.
3. The buffers of a client that does not read are small. `is_full` is true from then on until it
   has read most of them; meanwhile the stream should write nothing more.
4. A client that acknowledges nothing for `SILENT_SECONDS` has left: its machine or network is gone.
5. A server that shuts down calls `StreamOwner.stop`, and does not wait for the stream.
"""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

HAND_OVER: Final = "hand_over"
"""The key in a request's scope with its connection's `HandOver`."""
SEND_BUFFER_BYTES: Final = 32 * 1024
"""In the kernel, which doubles it. It would give a client that does not read up to 4 MB."""
WRITE_BUFFER_BYTES: Final = 8 * 1024
SILENT_SECONDS: Final = 30
LINGER_SECONDS: Final = 1.0
"""How long a client may take to read the end of its stream."""


class StreamOwner(Protocol):
    """What writes a stream. None of these is called after `StreamConnection.close` or `abort`."""

    def left(self) -> None:
        """Handle that the client has left, or that the connection was lost."""
        ...

    def resume(self) -> None:
        """Write again: the client has read most of the buffers."""
        ...

    def stop(self) -> None:
        """Close the stream, because the server shuts down."""
        ...


class StreamConnection(asyncio.Protocol):
    """A connection with a stream on it. `connections` are those that the server knows."""

    __slots__ = ("_connections", "_is_closed", "_owner", "_transport", "is_full")

    def __init__(
        self, transport: asyncio.Transport, owner: StreamOwner, connections: set[Any]
    ) -> None:
        self._transport = transport
        self._owner = owner
        self._connections = connections
        self._is_closed = False
        self.is_full = False
        connections.add(self)
        transport.set_protocol(self)
        # After it: what earlier responses left in the buffer may be over the limit already.
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        _limit(transport.get_extra_info("socket"))

    def write(self, part: bytes) -> None:
        """Send a part of the stream."""
        self._transport.write(_chunk(part))

    def close(self, part: bytes) -> None:
        """Send the last part, and close the connection."""
        self._forget()
        self._transport.write(_chunk(part) + b"0\r\n\r\n")
        self._transport.close()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.abort)

    def abort(self) -> None:
        """Close the connection without sending what the client has not read."""
        self._forget()
        self._transport.abort()

    def data_received(self, _data: bytes) -> None:
        """Ignore it."""

    def eof_received(self) -> None:
        """Return None, so that the transport closes the connection: the client has left."""

    def connection_lost(self, _exc: Exception | None) -> None:
        """Report that the client has left, unless the stream was closed."""
        if not self._is_closed:
            self._forget()
            self._owner.left()

    def pause_writing(self) -> None:
        """Report that the buffers are full."""
        self.is_full = True

    def resume_writing(self) -> None:
        """Report that there is space again."""
        self.is_full = False
        if not self._is_closed:
            self._owner.resume()

    def shutdown(self) -> None:
        """Stop the stream (uvicorn calls this on all connections)."""
        if not self._is_closed:
            self._owner.stop()

    def _forget(self) -> None:
        self._is_closed = True
        self._connections.discard(self)


HandOver = Callable[[StreamOwner], StreamConnection | None]
"""Takes the connection of a response that has begun. Returns None for HEAD, and if it is lost."""


def _chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)


def _limit(connection: Any) -> None:
    with suppress(OSError, AttributeError):  # a Unix socket; a system without the option
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        milliseconds = SILENT_SECONDS * 1000
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
