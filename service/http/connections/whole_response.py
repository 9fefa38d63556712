"""Send a whole response in one write.

ASGI sends a response in two messages. For these, uvicorn searches each name and each value of the
headers for forbidden bytes, and writes twice. Most responses here are complete when they are sent,
so their head is checked once, and written together with the body
(docs/decisions/0057-whole-responses.md). The bytes are those that uvicorn writes.
"""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response
from starlette.types import Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from service.http.connections.joined_writes import JoinedWrites

# Tabs and all bytes except control characters. Those could end a field, and begin another one.
_ALLOWED: Final = bytes({0x09, *range(0x20, 0x100)} - {0x7F})
_CLOSE: Final = (b"connection", b"close")


def cycle_of(response: Response, send: Send) -> RequestResponseCycle | None:
    """Return the request that `send` answers, or None if the response must be sent in another way.

    That is a response that is more than its status, raw headers and body, or another server's
    `send`.
    """
    if type(response).__call__ is not Response.__call__ or response.background is not None:
        return None
    cycle = getattr(send, "__self__", None)
    if isinstance(cycle, RequestResponseCycle) and isinstance(cycle.transport, JoinedWrites):
        return cycle
    return None


async def send_whole(
    cycle: RequestResponseCycle, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes
) -> None:
    """Send a response. Its headers have a Content-Length, unless it must not have one.

    Nothing is sent if the client has left. Raises `RuntimeError` for a forbidden byte in a header.
    """
    if cycle.flow.write_paused and not cycle.disconnected:
        await cycle.flow.drain()
    if cycle.disconnected:
        return
    cycle.response_started = True
    if cycle.waiting_for_100_continue:
        # The client may send its body or not, so its next request would have no clear start.
        cycle.keep_alive = cycle.waiting_for_100_continue = False
    fields = [*cycle.default_headers, *headers]
    if _CLOSE in fields:
        cycle.keep_alive = False
    elif not cycle.keep_alive:
        fields.append(_CLOSE)
    head = STATUS_LINE[status] + b"\r\n".join([*map(b": ".join, fields), b"", b""])
    if head.translate(None, _ALLOWED) != b"\r\n" * (len(fields) + 2):
        raise RuntimeError("a header of a response contains a control character")
    transport = cycle.transport
    assert isinstance(transport, JoinedWrites)  # noqa: S101 - `cycle_of` says so
    transport.write_now(head if cycle.scope["method"] == "HEAD" else head + body)
    cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        transport.close()
    cycle.on_response()
