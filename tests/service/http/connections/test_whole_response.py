"""Whole responses have the bytes that uvicorn writes for them."""

import asyncio
import logging

import pytest
from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Scope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.http.connections.joined_writes import JoinedWrites
from service.http.connections.whole_response import cycle_of, send_whole
from tests.service.http.connections.recorded import Recorded

JSON = Response(b'{"id":1}', 200, {"etag": '"v1"', "x-tab": "a\tb"}, "application/json")
EMPTY = Response(status_code=204)
UNCHANGED = Response(status_code=304, headers={"etag": '"v1"'})
CLOSING = Response(b"no", 401, {"connection": "close"})


class Request:
    """A request whose response is recorded."""

    def __init__(self, method: str, *, keep_alive: bool = True) -> None:
        self.recorded = Recorded()
        transport = JoinedWrites(self.recorded, asyncio.get_running_loop())
        logger = logging.getLogger("uvicorn.error")
        self.ended = 0
        self.scope: Scope = {"type": "http", "method": method}
        self.cycle = RequestResponseCycle(
            scope=self.scope,  # type: ignore[arg-type] # what is read of it
            transport=transport,
            flow=FlowControl(transport),
            logger=logger,
            access_logger=logger,
            access_log=False,
            default_headers=[(b"date", b"Thu, 01 Jan 2026 00:00:00 GMT")],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=keep_alive,
            on_response=self.end,
        )

    def end(self) -> None:
        self.ended += 1

    @property
    def written(self) -> bytes:
        return b"".join(call for call in self.recorded.calls if isinstance(call, bytes))

    async def send_in_two(self, response: Response) -> None:
        async def receive() -> Message:
            raise AssertionError("no body is read")

        await response(self.scope, receive, self.cycle.send)  # type: ignore[arg-type] # uvicorn's own name for the type

    async def send_whole(self, response: Response) -> None:
        await send_whole(
            self.cycle, response.status_code, response.raw_headers, bytes(response.body)
        )


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("response", [JSON, EMPTY, UNCHANGED, CLOSING])
async def test_bytes_and_state_are_those_of_two_messages(
    response: Response, method: str, *, keep_alive: bool
) -> None:
    whole, in_two = (Request(method, keep_alive=keep_alive) for _ in range(2))
    await whole.send_whole(response)
    await in_two.send_in_two(response)
    await asyncio.sleep(0)
    assert whole.written == in_two.written
    assert whole.written.startswith(b"HTTP/1.1 %d " % response.status_code)
    assert whole.recorded.closing == in_two.recorded.closing
    assert whole.ended == in_two.ended == 1
    assert whole.cycle.response_complete
    assert whole.cycle.message_event.is_set()


async def test_a_response_is_one_write() -> None:
    request = Request("GET")
    await request.send_whole(JSON)
    assert len(request.recorded.calls) == 1


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b", b"a\x7fb"])
async def test_a_control_character_in_a_header_is_not_sent(value: bytes) -> None:
    whole, in_two = Request("GET"), Request("GET")
    response = Response(b"", 200)
    response.raw_headers.append((b"location", value))
    with pytest.raises(RuntimeError):
        await whole.send_whole(response)
    with pytest.raises(RuntimeError):
        await in_two.send_in_two(response)
    await asyncio.sleep(0)
    assert whole.written == in_two.written == b""
    assert whole.cycle.response_started


async def test_nothing_is_sent_to_a_client_that_has_left() -> None:
    request = Request("GET")
    request.cycle.disconnected = True
    await request.send_whole(JSON)
    assert request.recorded.calls == []
    assert request.ended == 0


async def test_a_client_that_reads_slowly_is_waited_for() -> None:
    request = Request("GET")
    request.cycle.flow.pause_writing()
    sending = asyncio.ensure_future(request.send_whole(JSON))
    await asyncio.sleep(0)
    assert request.recorded.calls == []
    request.cycle.flow.resume_writing()
    await sending
    assert request.ended == 1


async def test_other_responses_are_sent_in_messages() -> None:
    request = Request("GET")
    send = request.cycle.send

    async def nothing() -> None:
        pass

    async def other_send(_message: Message) -> None:
        pass

    assert cycle_of(JSON, send) is request.cycle  # type: ignore[arg-type] # uvicorn's own name for the type
    assert cycle_of(JSON, other_send) is None
    assert cycle_of(StreamingResponse(iter([b""])), send) is None  # type: ignore[arg-type] # as above
    background = Response(b"", background=BackgroundTask(nothing))
    assert cycle_of(background, send) is None  # type: ignore[arg-type] # as above


async def test_connection_of_a_client_that_waits_to_send_its_body_is_closed() -> None:
    request = Request("POST")
    request.cycle.waiting_for_100_continue = True
    await request.send_whole(JSON)
    assert b"\r\nconnection: close\r\n" in request.written
    assert not request.cycle.keep_alive
