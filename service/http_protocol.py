"""uvicorn's HTTP/1.1 protocol with bounds on what a client may send before anybody is asked.

uvicorn bounds neither the size of a request's head nor the time a client takes for it: a header of
100 MB keeps the whole process busy, and a client that stops in the middle holds its connection for
ever. A head over its bounds is answered with a problem document, one that does not come in time
with a closed connection. Header fields behind a chunked body (trailers, RFC 9112 section 7.1.2) are
dropped: merged into the head they could replace what has been checked. A body that comes with an
`Upgrade` is refused: the parser ends such a message at its head, and what follows would be read as
a request of its own. Requests sent ahead of their answers (pipelining) wait in a short line.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from secrets import token_hex
from typing import Any, Final, NoReturn

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.edge import MAX_BODY_BYTES
from service.problem import problem_response

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 100
MAX_URL_BYTES: Final = 8 * 1024
HEAD_SECONDS: Final = 10.0
"""From a request's first byte (for the first one, from the connection) to its last header."""
BODY_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 60.0
"""From a request's last byte to its answer's: a client that does not read it is not waited for."""
MAX_WAITING_REQUESTS: Final = 64
_MAX_UNREAD: Final = 2 * MAX_BODY_BYTES
LINGER_SECONDS: Final = 1.0
"""For a refused client to read its answer: closing at once would reset the connection under it."""


class _RefusedError(Exception):
    """The request is over a bound, or cannot be told apart from the next one."""

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
        self._in_head = self._in_body = False
        self._head_size = 0
        self._refused = False
        self._refusal: _RefusedError | None = None

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
        if self._deadline is None and self._is_idle() and self.timeout_keep_alive_task is None:
            # Something came that began no request, and it has stopped uvicorn's clock.
            self._expect_within(HEAD_SECONDS)
        # The parser keeps a header to itself until it is whole, and takes quadratic time for it.
        if stretch is not None and stretch is self._stretch and self._refusal is None:
            stretch.received += len(data)
            if stretch.received > MAX_HEAD_BYTES:
                self._refusal = _too_large_head()
                self.send_400_response(str(self._refusal))

    def on_message_begin(self) -> None:
        """Begin a head."""
        if len(self.pipeline) >= MAX_WAITING_REQUESTS:
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests", "Wait for the answers.")
        super().on_message_begin()
        self._in_head, self._head_size = True, 0
        self._stretch = _Stretch()
        self._expect_within(HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", "The URL is over 8 KiB.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or drop it where it is a trailer."""
        if not self._in_head:
            return
        super().on_header(name, value)
        self._head_size += len(name) + len(value)
        if len(self.headers) > MAX_HEADERS or self._head_size > MAX_HEAD_BYTES:
            self._refusal = _too_large_head()
            raise self._refusal

    def on_headers_complete(self) -> None:
        """Hand the request on, and give its body its time."""
        if self.parser.should_upgrade() and self._announces_body():
            self._refuse(HTTPStatus.BAD_REQUEST, "upgrade_with_body", "Upgrade is not for bodies.")
        self._in_head, self._in_body, self._stretch = False, True, None
        self._expect_within(BODY_SECONDS)
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Begin a chunk; behind the last one there may be trailers."""
        self._stretch = _Stretch()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body: no trailers yet."""
        self._stretch = None
        super().on_body(body)
        if len(self.cycle.body) > _MAX_UNREAD:
            # Of a request that waits for its turn: nobody reads it yet.
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "content_too_large", "Too much.")

    def on_message_complete(self) -> None:
        """End the request, and give the answer its time."""
        self._in_body, self._stretch = False, None
        self._expect_within(ANSWER_SECONDS)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on to the next request that waits, and read no further while any does."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()
        if not (self._in_head or self._in_body):
            self._expect_within(ANSWER_SECONDS if self.pipeline else None)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, though the client may not have read its last answer."""
        self._hang_up()

    def send_400_response(self, msg: str) -> None:
        """Refuse a head that cannot be read or is over a bound (uvicorn's hook), and hang up."""
        self._refused = True
        if not self._is_idle() or self._in_body:
            # An answer is on its way on this connection, or has been given to this very request;
            # a second one would be taken for the next one's.
            self._hang_up()
            return
        status, code, detail = HTTPStatus.BAD_REQUEST, "malformed_request", msg
        if self._refusal is not None:
            status, code, detail = self._refusal.status, self._refusal.code, str(self._refusal)
        response = problem_response(token_hex(8), status, code, detail)
        head = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
        head += [name + b": " + value for name, value in response.raw_headers]
        head += [b"connection: close", b"", bytes(response.body)]
        self.transport.write(b"\r\n".join(head))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._expect_within(LINGER_SECONDS)

    def _refuse(self, status: HTTPStatus, code: str, detail: str) -> NoReturn:
        """End the parsing: what is raised here comes back as `send_400_response`."""
        self._refusal = _RefusedError(status, code, detail)
        raise self._refusal

    def _announces_body(self) -> bool:
        headers = dict(self.headers)
        length = headers.get(b"content-length", b"0")
        return b"transfer-encoding" in headers or length.strip(b"0") != b""

    def _is_idle(self) -> bool:
        # None before the first request, which uvicorn's own annotation leaves out.
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _expect_within(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self._hang_up)

    def _hang_up(self) -> None:
        """Close, and do not wait long for a client that does not read what is left."""
        self.transport.close()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)


def _too_large_head() -> _RefusedError:
    return _RefusedError(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
        "The request's head is over 64 KiB or has over 100 headers.",
    )
