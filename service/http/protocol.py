"""uvicorn's HTTP/1.1 protocol with bounds on what a client may send before anybody is asked.

uvicorn bounds neither the size of a request's head nor the time a client takes for it: a header of
100 MB keeps the whole process busy, and a client that stops in the middle holds its connection for
ever. A head over its bounds is answered with a problem document, one that does not come in time
with a closed connection. Header fields behind a chunked body (trailers, RFC 9112 section 7.1.2) are
dropped: merged into the head they could replace what has been checked. A body that comes with an
`Upgrade` is refused: the parser ends such a message at its head, and what follows would be read as
a request of its own. Requests sent ahead of their answers (pipelining) wait in a short line.

A message that goes wrong is refused in its turn, after the answers to those before it. The
application is not asked for it, or hears that the client is gone: an operation that reads its body
is not executed; one that reads none may have been, where its body went wrong after it had begun. A
client that sends whole requests and ends its side of the connection (half-close) gets its answers.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, NoReturn

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.http.answer_headers import request_id_of
from service.http.body_limit import MAX_BODY_BYTES
from service.http.refusal import Refusal, flaw_of, malformed

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

_HEAD_TOO_LARGE: Final = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "headers_too_large",
    "The request's head is over 64 KiB or has over 100 headers.",
)
_URI_TOO_LONG: Final = Refusal(
    HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", "The URL is over 8 KiB."
)
_TOO_MANY_REQUESTS: Final = Refusal(
    HTTPStatus.TOO_MANY_REQUESTS, "too_many_requests", "Wait for the answers."
)
_BODY_TOO_LARGE: Final = Refusal(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "content_too_large", "The body is over 256 KiB."
)


class _RefusedError(Exception):
    """Ends the parsing."""


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
        self._refusal: Refusal | None = None
        self._refused = False
        self._ended = False
        # The request that is being answered; those after it wait in uvicorn's `pipeline`.
        self._current: RequestResponseCycle | None = None
        self._parsing = False
        self._unstarted: ASGI3Application | None = None

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
        self._parsing = True
        super().data_received(data)
        self._parsing = False
        if self._deadline is None and self._is_idle() and self.timeout_keep_alive_task is None:
            # Something came that began no request, and it has stopped uvicorn's clock.
            self._expect_within(HEAD_SECONDS)
        # The parser keeps a header to itself until it is whole, and takes quadratic time for it.
        if stretch is not None and stretch is self._stretch and self._refusal is None:
            stretch.received += len(data)
            if stretch.received > MAX_HEAD_BYTES:
                self._refusal = _HEAD_TOO_LARGE
                self.send_400_response(self._refusal.detail)
        self._start()

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio's, which uvicorn narrows
        """Answer what came whole before the client ended its side; refuse what did not.

        Returns whether the connection stays open, for the answers.
        """
        self._ended = True
        if self._in_head or self._in_body:
            if not self._refused:
                self.send_400_response("The request ended before it was complete.")
        elif not self._refused and not self._is_idle():
            self.cycle.keep_alive = False
        return not self.transport.is_closing() and not self._is_idle()

    def on_message_begin(self) -> None:
        """Begin a head."""
        if len(self.pipeline) >= MAX_WAITING_REQUESTS:
            self._refuse(_TOO_MANY_REQUESTS)
        super().on_message_begin()
        self._in_head, self._head_size = True, 0
        self._stretch = _Stretch()
        self._expect_within(HEAD_SECONDS)

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._refuse(_URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or drop it where it is a trailer."""
        if not self._in_head:
            return
        super().on_header(name, value)
        self._head_size += len(name) + len(value)
        if len(self.headers) > MAX_HEADERS or self._head_size > MAX_HEAD_BYTES:
            self._refuse(_HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Hand the request on, and give its body its time."""
        upgrade: bool = self.parser.should_upgrade()
        flaw = flaw_of(self.parser.get_http_version(), self.headers, upgrade=upgrade)
        if flaw is not None:
            self._refuse(flaw)
        super().on_headers_complete()
        if upgrade:
            # The parser ends with the offer, although it is not taken up.
            self.cycle.keep_alive = False
        self._in_head, self._in_body, self._stretch = False, True, None
        self._expect_within(BODY_SECONDS)

    def on_chunk_header(self) -> None:
        """Begin a chunk; behind the last one there may be trailers."""
        self._stretch = _Stretch()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body: no trailers yet."""
        self._stretch = None
        super().on_body(body)
        if len(self.cycle.body) > _MAX_UNREAD:
            # Of a request that waits for its turn: nobody reads it yet.
            self._refuse(_BODY_TOO_LARGE)

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
        if self._refused:
            self._refuse_in_turn()
        elif not (self._in_head or self._in_body):
            self._expect_within(ANSWER_SECONDS if self.pipeline else None)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, though the client may not have read its last answer."""
        self._hang_up()

    def send_400_response(self, msg: str) -> None:
        """Refuse the message that is being read (uvicorn's hook), and read no further."""
        self._refused = True
        if self._refusal is None:
            self._refusal = malformed(msg)
        self._expect_within(ANSWER_SECONDS)
        if self._in_body and not self._withdraw():
            return
        self._refuse_in_turn()

    def _withdraw(self) -> bool:
        """Take back the request whose body went wrong; return whether it is still to be answered.

        An answer that was begun is this request's own; a second one would be taken for the next
        one's.
        """
        cycle = self.cycle
        if cycle is not self._current:
            self.pipeline.popleft()
            return True
        if cycle.response_complete:
            self._hang_up()
            return False
        if cycle.response_started:
            cycle.keep_alive = False
            return False
        if self._unstarted is None:
            # The application hears that the client is gone, and what it answers is not sent.
            cycle.disconnected = True
            cycle.message_event.set()
        self._current = self._unstarted = None
        return True

    def _refuse_in_turn(self) -> None:
        """Send the refusal, unless requests before it are still to be answered."""
        if self._refusal is None or not self._is_idle() or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        in_message = self._in_head or self._in_body
        request_id = request_id_of(self.headers) if in_message else request_id_of(())
        if self._in_body:
            # As the application has written it to the log, if it has been asked at all.
            request_id = str(self.cycle.scope.get("request_id", request_id))
        is_head = in_message and self.url != b"" and self.parser.get_method() == b"HEAD"
        answer = self._refusal.answer(
            request_id, self.server_state.default_headers, with_body=not is_head
        )
        self._refusal = None
        self.transport.write(answer)
        if self._ended:
            self._hang_up()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._expect_within(LINGER_SECONDS)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Begin a request, but not before what came with it has been read: that may be bad."""
        self._current, self._unstarted = cycle, app
        if not self._parsing:
            self._start()

    def _start(self) -> None:
        if self._current is not None and self._unstarted is not None:
            app, self._unstarted = self._unstarted, None
            super()._start_asgi_task(self._current, app)

    def _refuse(self, refusal: Refusal) -> NoReturn:
        """End the parsing: what is raised here comes back as `send_400_response`."""
        self._refusal = refusal
        raise _RefusedError

    def _is_idle(self) -> bool:
        return not self.pipeline and (self._current is None or self._current.response_complete)

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
