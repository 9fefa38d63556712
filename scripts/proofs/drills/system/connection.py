"""An HTTP/1.1 connection for drills: small, because the client shares its core with the database.

`Connection.ask` sends one request and returns the whole answer. It returns None if the connection
failed: the server may or may not have executed the request.
"""

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

PATIENCE_SECONDS: Final = 30.0
NOT_CONNECTED: Final = "not connected"
"""Nothing was sent: the server did not accept the connection."""
CLOSED: Final = "closed"
"""The answer was lost: the server may or may not have executed the request."""
_LINE_LIMIT: Final = 1 << 20
_NONE: Final[Mapping[str, str]] = {}
_BODILESS: Final = frozenset({204, 304})


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response, and how long it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    def json(self) -> dict[str, Any]:
        """Return the body, which is a JSON object."""
        return cast("dict[str, Any]", json.loads(self.body))

    @property
    def code(self) -> str:
        """The code of a problem document."""
        with contextlib.suppress(ValueError):
            return str(self.json().get("code"))
        return "without a problem document"

    @property
    def closes(self) -> bool:
        """Whether the server closes the connection after this response."""
        return self.headers.get("connection") == "close"

    @property
    def retry_after(self) -> str | None:
        """The header Retry-After."""
        return self.headers.get("retry-after")


class Connection:
    """A connection that is opened when it is needed, and again after it was closed."""

    def __init__(self, port: int, *, address: str = "127.0.0.1") -> None:
        self.port = port
        self.failure = CLOSED
        """How the last request failed, if it did."""
        self._address = address
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(  # noqa: PLR0913 - passed by name
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] = _NONE,
        patience: float = PATIENCE_SECONDS,
    ) -> Answer | None:
        """Send a request and return the answer, or None if the connection failed."""
        began, self.failure = time.perf_counter(), NOT_CONNECTED
        try:
            async with asyncio.timeout(patience):
                await self._open()
                self.failure = CLOSED
                await self._send(_message(method, path, token, body, headers))
                status, fields, content = await self._receive(method)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            self.close()
            return None
        except BaseException:
            self.close()
            raise
        answer = Answer(status, fields, content, time.perf_counter() - began)
        if answer.closes:
            self.close()
        return answer

    async def send_only(self, method: str, path: str, *, token: str) -> None:
        """Send a request without reading the answer. Raises `OSError`."""
        await self._open()
        await self._send(_message(method, path, token, None, _NONE))

    def close(self) -> None:
        """Close the connection at once."""
        if self._writer is not None:
            with contextlib.suppress(RuntimeError):  # the loop may be closing
                self._writer.transport.abort()
        self._reader = self._writer = None

    def reset(self) -> None:
        """Reset the connection, as a client that crashed does."""
        if self._writer is not None:
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    async def _open(self) -> None:
        if self._reader is None or self._reader.at_eof():
            self.close()
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self.port, limit=_LINE_LIMIT, local_addr=(self._address, 0)
            )

    async def _send(self, message: bytes) -> None:
        assert self._writer is not None  # noqa: S101 - it was opened
        self._writer.write(message)
        await self._writer.drain()

    async def _receive(self, method: str) -> tuple[int, dict[str, str], bytes]:
        assert self._reader is not None  # noqa: S101 - a request was sent on it
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        status = int(first.split(" ", 2)[1])
        bodiless = method == "HEAD" or status in _BODILESS
        length = 0 if bodiless else int(fields["content-length"])
        return status, fields, await self._reader.readexactly(length) if length else b""


def _message(
    method: str,
    path: str,
    token: str | None,
    body: Mapping[str, object] | None,
    headers: Mapping[str, str],
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: drills"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    content = b""
    if body is not None:
        content = json.dumps(body).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


async def exchange(port: int, message: bytes, *, seconds: float = 10.0) -> bytes:
    """Send bytes, and return everything until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(message)
        async with asyncio.timeout(seconds):
            return await reader.read()
    finally:
        writer.close()
