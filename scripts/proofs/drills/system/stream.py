"""A client of `GET /api/tasks/events` that takes little time for each event.

A thousand streams share the load's core with the database. Most of them receive the same bytes, so
what the bytes mean is remembered.
"""

import asyncio
import functools
import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple, cast

EVENTS: Final = "/api/tasks/events"
OPEN_SECONDS: Final = 30.0
_HEAD_END: Final = b"\r\n\r\n"
_LINE_END: Final = b"\r\n"
_REMEMBERED: Final = 4_096


class StreamEvent(NamedTuple):
    """An event as it was received. A block with only `retry:` has an empty name and no data."""

    name: str
    data: str
    retry: int | None


class _Decoded(NamedTuple):
    """What bytes of a response's body mean, and what is left of them."""

    events: tuple[StreamEvent, ...]
    text: bytes
    """The beginning of an event whose end has not arrived."""
    raw: bytes
    """The beginning of a chunk whose end has not arrived."""
    ended: bool
    """Whether the last chunk has arrived."""


class Stream(asyncio.Protocol):
    """One stream, from its request until it is closed by either side.

    `heard` is called for each event, and for each block with a retry hint. Times are the loop's.
    """

    def __init__(self, request: bytes, heard: Callable[[StreamEvent], None]) -> None:
        self._request, self._heard = request, heard
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._text = self._raw = b""
        self.status: int | None = None
        """The status of the response; None until its head has arrived."""
        self.headers: Mapping[str, str] = {}
        self.received = 0
        """Bytes that have arrived."""
        self.ended_at: float | None = None
        self.begun: asyncio.Future[None] = self._loop.create_future()
        """Done as soon as the status is known, or the connection is closed."""
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Report the events that are complete."""
        self.received += len(data)
        raw = self._raw + data if self._raw else data
        if self.status is None:
            head, end, raw = raw.partition(_HEAD_END)
            if not end:
                self._raw = head
                return
            self._begin(head)
        if self.status != HTTPStatus.OK:
            self._raw = raw
            return
        events, self._text, self._raw, ended = _decode(self._text, raw)
        for event in events:
            self._heard(event)
        if ended:
            self.close()

    def connection_lost(self, _error: Exception | None) -> None:
        """Note the end."""
        self._end()

    def pause(self) -> None:
        """Read nothing more, like a client that hangs."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and self.ended_at is None:
            self._transport.resume_reading()

    def close(self) -> None:
        """Close the connection at once."""
        self._end()
        if self._transport is not None:
            self._transport.abort()

    def _begin(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ", 2)[1])
        fields = (line.partition(":") for line in lines)
        self.headers = {name.lower(): value.strip() for name, _, value in fields}
        if not self.begun.done():
            self.begun.set_result(None)

    def _end(self) -> None:
        if self.ended_at is None:
            self.ended_at = self._loop.time()
        for future in (self.begun, self.ended):
            if not future.done():
                future.set_result(None)


def stream_request(token: str) -> bytes:
    """Return the request for a user's stream."""
    lines = (
        f"GET {EVENTS} HTTP/1.1",
        "Host: drills",
        "Accept: text/event-stream",
        f"Authorization: Bearer {token}",
    )
    return "\r\n".join(lines).encode() + _HEAD_END


async def open_stream(
    port: int,
    token: str,
    heard: Callable[[StreamEvent], None],
    *,
    address: str = "127.0.0.1",
    receive_bytes: int | None = None,
) -> Stream:
    """Open a stream from an address, and wait for its status. Raises `OSError`.

    With `receive_bytes`, the system receives about so much while the stream is paused.
    """
    loop = asyncio.get_running_loop()
    request = stream_request(token)
    sock = socket.socket()
    try:
        sock.setblocking(False)  # noqa: FBT003 - the only way to say it
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.bind((address, 0))
        async with asyncio.timeout(OPEN_SECONDS):
            await loop.sock_connect(sock, ("127.0.0.1", port))
            _, stream = await loop.create_connection(lambda: Stream(request, heard), sock=sock)
    except BaseException:
        sock.close()
        raise
    async with asyncio.timeout(OPEN_SECONDS):
        try:
            await stream.begun
        except BaseException:
            stream.close()
            raise
    return stream


@functools.lru_cache(_REMEMBERED)
def _decode(text: bytes, raw: bytes) -> _Decoded:
    """Decode chunks (RFC 9112 section 7.1), and split them into events."""
    ended = False
    while True:
        size, end, rest = raw.partition(_LINE_END)
        if not end:
            break
        length = int(size.partition(b";")[0], 16)
        if len(rest) < length + len(_LINE_END):
            break
        text, raw = text + rest[:length], rest[length + len(_LINE_END) :]
        if length == 0:
            ended = True
            break
    *blocks, text = text.split(b"\n\n")
    events = tuple(event for block in blocks if (event := _event(block)) is not None)
    return _Decoded(events, text, raw, ended)


def _event(block: bytes) -> StreamEvent | None:
    """Parse an event; a block of comments is none."""
    fields: dict[str, str] = {}
    for line in block.decode().split("\n"):
        name, _, value = line.partition(":")
        if name:
            fields[name] = value.removeprefix(" ")
    if not fields:
        return None
    retry = fields.get("retry")
    return StreamEvent(
        fields.get("event", ""), fields.get("data", ""), None if retry is None else int(retry)
    )
