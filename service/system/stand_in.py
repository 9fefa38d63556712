"""Answer requests with 503 while no worker process serves."""

import json
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

_READ_SECONDS: Final = 0.1
_READ_BYTES: Final = 65536
_RETRY_AFTER: Final = 5
_BODY: Final = json.dumps(
    {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "The service is restarting. Try again in a few seconds.",
        "code": "restarting",
        "request_id": None,
    }
).encode()
_ANSWER: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\n"
    b"Content-Type: application/problem+json\r\n"
    b"Content-Length: %d\r\n"
    b"Cache-Control: no-store\r\n"
    b"Retry-After: %d\r\n"
    b"Connection: close\r\n\r\n%s" % (len(_BODY), _RETRY_AFTER, _BODY)
)


def answer_unavailable(listeners: Sequence[socket.socket], *, seconds: float) -> None:
    """Answer every request with 503 for so many seconds, without parsing it."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        for listener in select.select(listeners, [], [], left)[0]:
            # The client may be gone, or a worker of an earlier parent took the connection.
            with suppress(OSError):
                connection, _ = listener.accept()
                _answer(connection)


def _answer(connection: socket.socket) -> None:
    with connection:
        connection.settimeout(_READ_SECONDS)
        # A connection that is closed with unread data is reset, and the client loses the answer.
        with suppress(TimeoutError):
            connection.recv(_READ_BYTES)
        connection.sendall(_ANSWER)
        connection.shutdown(socket.SHUT_WR)
