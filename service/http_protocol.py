"""uvicorn's HTTP/1.1 protocol with bounds on what a client may send before anybody is asked.

uvicorn bounds neither the size of a request's head nor the time a client takes for it: a header of
100 MB keeps the whole process busy, and a client that stops in the middle holds its connection for
ever. A head over its bounds is answered with a problem document, one that does not come in time
with a closed connection. Header fields behind a chunked body (trailers, RFC 9112 section 7.1.2) are
dropped: merged into the head they could replace what has been checked.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from secrets import token_hex
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.problems import problem_response

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 100
MAX_URL_BYTES: Final = 8 * 1024
HEAD_SECONDS: Final = 10.0
"""From a request's first byte (for the first one, from the connection) to its last header."""
BODY_SECONDS: Final = 30.0
LINGER_SECONDS: Final = 1.0
"""For a refused client to read its answer: closing at once would reset the connection under it."""


class _TooLargeError(Exception):
    """The head is over a bound."""

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code = status, code


@dataclass(slots=True)
class _Stretch:
    """A stretch of the connection in which headers are being collected, and its length so far."""

    received: int = 0


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection of a client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._stretch: _Stretch | None = None
        self._in_head = False
        self._head_size = 0
        self._refused = False
        self._too_large: _TooLargeError | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Give the first request its time."""
        super().connection_made(transport)
        self._expect_within(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._expect_within(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless the client has been refused already."""
        if self._refused:
            return
        stretch = self._stretch
        super().data_received(data)
        # The parser keeps a header to itself until it is whole, and takes quadratic time for it.
        if stretch is not None and stretch is self._stretch and not self._refused:
            stretch.received += len(data)
            if stretch.received > MAX_HEAD_BYTES:
                self._too_large = _too_large_head()
                self.send_400_response(str(self._too_large))

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head, self._head_size = True, 0
        self._stretch = _Stretch()
        self._expect_within(HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._too_large = _TooLargeError(
                HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", "The URL is over 8 KiB."
            )
            raise self._too_large

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or drop it where it is a trailer."""
        if not self._in_head:
            return
        super().on_header(name, value)
        self._head_size += len(name) + len(value)
        if len(self.headers) > MAX_HEADERS or self._head_size > MAX_HEAD_BYTES:
            self._too_large = _too_large_head()
            raise self._too_large

    def on_headers_complete(self) -> None:
        """Hand the request on, and give its body its time."""
        self._in_head, self._stretch = False, None
        self._expect_within(BODY_SECONDS)
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Begin a chunk; behind the last one there may be trailers."""
        self._stretch = _Stretch()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body: no trailers yet."""
        self._stretch = None
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request; the answer has its own time."""
        self._stretch = None
        self._expect_within(None)
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse a head that cannot be read or is over a bound (uvicorn's hook), and hang up."""
        self._refused = True
        if not self._is_idle():
            # Another answer is on its way on this connection; a second one would be taken for it.
            self.transport.close()
            return
        status, code, detail = HTTPStatus.BAD_REQUEST, "malformed_request", msg
        if self._too_large is not None:
            status, code, detail = (
                self._too_large.status,
                self._too_large.code,
                str(self._too_large),
            )
        response = problem_response(token_hex(8), status, code, detail)
        head = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
        head += [name + b": " + value for name, value in response.raw_headers]
        head += [b"connection: close", b"", bytes(response.body)]
        self.transport.write(b"\r\n".join(head))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._expect_within(LINGER_SECONDS)

    def _is_idle(self) -> bool:
        # None before the first request, which uvicorn's own annotation leaves out.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _expect_within(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self.transport.close)


def _too_large_head() -> _TooLargeError:
    return _TooLargeError(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
        "The request's head is over 64 KiB or has over 100 headers.",
    )
