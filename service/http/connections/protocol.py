"""uvicorn's HTTP/1.1 protocol with limits on what a client may send.

uvicorn limits neither the size of a request's head (request line and headers) nor the time that a
client takes to send it. A header of 100 MB keeps the whole process busy, and a client that stops in
the middle keeps its connection for ever. This protocol adds these rules:

1. A head over the limits is answered with a problem document. A head that does not arrive in time
   closes the connection.
2. Trailers, the header fields after a chunked body (RFC 9112 section 7.1.2), are dropped: merged
   into the head, they could replace headers that were already checked.
3. A body together with `Upgrade` is refused: the parser ends such a message after its head and
   would read the body as another request.
4. Pipelined requests, sent before earlier responses, wait in a short queue.
5. A malformed message is refused after the responses to the messages before it. The application is
   not called for it, or is told that the client has disconnected. An operation that reads its body
   is not executed. One that reads no body may have been, if its body became malformed afterwards.
6. A client that sends whole requests and then closes its side of the connection (half-close) still
   receives the responses.

`dispatch.py` has what happens to a request from then on.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from service.http.answer_headers import request_id_of
from service.http.body_limit import MAX_BODY_BYTES
from service.http.connections import refusal as refusals
from service.http.connections.dispatch import LINGER_SECONDS, DispatchingProtocol
from service.http.connections.refusal import Refusal

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 100
MAX_URL_BYTES: Final = 8 * 1024
HEAD_SECONDS: Final = 10.0
"""From the first byte of a request (for the first request: the connection) to its last header."""
BODY_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 60.0
"""From the last byte of a request to the last byte of its response, which the client must read."""
MAX_WAITING_REQUESTS: Final = 16
"""Behind the one that is being answered. They are parsed before any of them is admitted, so many of
them on many connections would keep the event loop busy."""
_MAX_UNREAD: Final = 2 * MAX_BODY_BYTES


class _RefusedError(Exception):
    """Stops the parser."""


@dataclass(slots=True)
class _Stretch:
    """A part of the connection in which headers are received, and its length in bytes so far."""

    received: int = 0


class BoundedHttpProtocol(DispatchingProtocol):
    """One connection from a client."""

    __slots__ = (
        "_head_size",
        "_in_head",
        "_keeps_alive",
        "_limit",
        "_refusal",
        "_stretch",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._keeps_alive = False
        # The time limit that begins with the bytes that are being parsed.
        self._limit: float | None = None
        self._stretch: _Stretch | None = None
        self._in_head = False
        self._head_size = 0
        self._refusal: Refusal | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Start the time limit of the first request."""
        super().connection_made(transport)
        self._deadline.set(HEAD_SECONDS)

    def _parse(self, data: bytes) -> None:
        """Parse received bytes, unless the client has been refused already."""
        if self._refused:
            return
        if self._keeps_alive:
            # Also for bytes that do not begin a request.
            self._keeps_alive = False
            self._limit = HEAD_SECONDS
        stretch = self._stretch
        super()._parse(data)
        if self._limit is not None:
            self._deadline.set(self._limit)
            self._limit = None
        # The parser reports a header only when it is complete, and takes quadratic time for it.
        if stretch is not None and stretch is self._stretch and self._refusal is None:
            stretch.received += len(data)
            if stretch.received > MAX_HEAD_BYTES:
                self._refusal = refusals.HEAD_TOO_LARGE
                self.send_400_response(self._refusal.detail)

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio's, which uvicorn narrows
        """Answer the requests that are complete, and refuse one that is not.

        Returns whether the connection stays open for the responses.
        """
        self._ended = True
        if self._in_head or self._in_body:
            if not self._refused:
                self.send_400_response("The request ended before it was complete.")
        elif not self._refused and not self._is_idle():
            self.cycle.keep_alive = False
        return not self.transport.is_closing() and not self._is_idle()

    def on_message_begin(self) -> None:
        """Begin the head of a request."""
        if len(self.pipeline) >= MAX_WAITING_REQUESTS:
            self._refuse(refusals.TOO_MANY_REQUESTS)
        super().on_message_begin()
        self._in_head, self._head_size = True, 0
        self._stretch = _Stretch()
        self._limit = HEAD_SECONDS

    def on_url(self, url: bytes) -> None:
        """Add a part of the URL."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._refuse(refusals.URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header, or drop it if it is a trailer."""
        if not self._in_head:
            return
        # As uvicorn does it; a call of its method for each header would cost more than that.
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers = self.headers
        headers.append((name, value))
        size = self._head_size = self._head_size + len(name) + len(value)
        if len(headers) > MAX_HEADERS or size > MAX_HEAD_BYTES:
            self._refuse(refusals.HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Pass the request on, and start the time limit of its body."""
        upgrade: bool = self.parser.should_upgrade()
        flaw = refusals.flaw_of(self.parser.get_http_version(), self.headers, upgrade=upgrade)
        if flaw is not None:
            self._refuse(flaw)
        super().on_headers_complete()
        if upgrade:
            # The parser stops after an upgrade request, although we do not upgrade.
            self.cycle.keep_alive = False
        self._in_head, self._in_body, self._stretch = False, True, None
        self._limit = BODY_SECONDS

    def on_chunk_header(self) -> None:
        """Begin a chunk. Trailers may follow the last one."""
        self._stretch = _Stretch()

    def on_body(self, body: bytes) -> None:
        """Add a part of the body. It is not a trailer."""
        self._stretch = None
        super().on_body(body)
        if len(self.cycle.body) > _MAX_UNREAD:
            # The request waits for its turn, and nothing reads its body yet.
            self._refuse(refusals.BODY_TOO_LARGE)

    def on_message_complete(self) -> None:
        """End the request, and start the time limit of the response."""
        self._in_body, self._stretch = False, None
        self._limit = ANSWER_SECONDS
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the next waiting request, and stop reading while more are waiting.

        This replaces uvicorn's method, which creates a timer for each response.
        """
        self.server_state.total_requests += 1
        if self._current is not None:
            self._current.body = bytearray()  # if the application has not read it
        is_closing, waiting = self.transport.is_closing(), bool(self.pipeline)
        if not is_closing:
            self.flow.resume_reading()
            if waiting:
                self._start_asgi_task(*self.pipeline.pop())
        if self.pipeline:
            self.flow.pause_reading()
        if self._refused:
            self._refuse_in_turn()
        elif self._in_head or self._in_body:
            pass  # of the next request, which has its own time limit
        elif is_closing:
            self._deadline.clear()
        else:
            self._keeps_alive = not waiting
            self._deadline.set(ANSWER_SECONDS if waiting else self.timeout_keep_alive)

    def send_400_response(self, msg: str) -> None:
        """Refuse the message that is being received (uvicorn's hook), and stop reading."""
        self._refused = True
        if self._refusal is None:
            self._refusal = refusals.malformed(msg)
        self._limit = None
        self._deadline.set(ANSWER_SECONDS)
        if self._in_body and not self._withdraw():
            return
        self._refuse_in_turn()

    def _withdraw(self) -> bool:
        """Withdraw the request whose body is malformed. Return whether it still needs a response.

        A response that has begun belongs to this request. A client would take a second one for the
        response to its next request.
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
        if self._unstarted is None and not self._leave_line(cycle):
            # Tell the application that the client has disconnected, and do not send its response.
            cycle.disconnected = True
            cycle.message_event.set()
        self._current = self._unstarted = None
        return True

    def _refuse_in_turn(self) -> None:
        """Send the refusal, unless earlier requests still need responses."""
        if self._refusal is None or not self._is_idle() or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        in_message = self._in_head or self._in_body
        offered = dict(self.headers).get(b"x-request-id") if in_message else None
        request_id = request_id_of(offered)
        if self._in_body:
            # The id that the application logs, if it has been called for this request.
            request_id = str(self.cycle.scope.get("request_id", request_id))
        is_head = in_message and self.url != b"" and self.parser.get_method() == b"HEAD"
        answer = self._refusal.answer(
            request_id, self.server_state.default_headers, with_body=not is_head
        )
        self._refusal.write_down(request_id)
        self._refusal = None
        self.transport.write(answer)
        if self._ended:
            self._hang_up()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._deadline.set(LINGER_SECONDS)

    def _refuse(self, refusal: Refusal) -> NoReturn:
        """Stop the parser. uvicorn then calls `send_400_response`."""
        self._refusal = refusal
        raise _RefusedError
