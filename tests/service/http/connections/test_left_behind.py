"""What connections keep in memory, and that nothing is left of a client that is gone."""

import asyncio
import gc
import sys
import weakref
from collections.abc import AsyncIterator, Iterator

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.http.connections.admission import Admission
from service.http.connections.protocol import BoundedHttpProtocol
from service.http.cors import Cors
from service.http.draining import Draining
from service.http.forwarded import TrustedProxies
from tests.service.wire import exchange, reset, serving

POST = b"POST /%d HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
MORE_THAN_BUFFERS = b"x" * (16 << 20)


class Deaf:
    """An application that reads no body, and answers when it is told to."""

    def __init__(self) -> None:
        self.requests: list[RequestResponseCycle] = []
        self.called = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.sent = asyncio.Event()
        self.body = b""
        self.admission: Admission | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.requests.append(receive.__self__)  # type: ignore[attr-defined] # uvicorn's
            self.called.set()
            await self.may_answer.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
            self.sent.set()
            await send({"type": "http.response.body"})


@pytest.fixture
async def deaf() -> Deaf:
    return Deaf()


@pytest.fixture
async def port(deaf: Deaf) -> AsyncIterator[int]:
    async with serving(deaf) as chosen:
        yield chosen


async def test_body_that_was_not_read_is_not_kept(deaf: Deaf, port: int) -> None:
    deaf.may_answer.set()
    assert b"200" in await exchange(port, POST % 1)
    [request] = deaf.requests
    assert not request.body


async def test_request_that_is_being_answered_ends_with_its_connection(
    deaf: Deaf, port: int
) -> None:
    """Although another one was received since."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(POST % 1 + POST % 2)
    async with asyncio.timeout(10):
        await deaf.called.wait()
        [request] = deaf.requests
        deaf.body = MORE_THAN_BUFFERS
        deaf.may_answer.set()
        await deaf.sent.wait()
        reset(writer)
        while not request.disconnected:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
    assert not request.body
    assert len(deaf.requests) == 1


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[object]]]:
    """All connections that a server accepts while no garbage is collected."""
    made: list[weakref.ref[object]] = []
    usual = BoundedHttpProtocol.connection_made

    def note(self: BoundedHttpProtocol, transport: asyncio.Transport) -> None:
        made.append(weakref.ref(self))
        usual(self, transport)

    monkeypatch.setattr(BoundedHttpProtocol, "connection_made", note)
    gc.disable()
    try:
        yield made
    finally:
        gc.enable()


async def until_gone(connections: list[weakref.ref[object]]) -> None:
    async with asyncio.timeout(10):
        while not connections or any(  # noqa: ASYNC110 - there is no event for it
            one() is not None for one in connections
        ):
            await asyncio.sleep(0)


async def test_connection_of_a_refused_request_is_freed_without_a_collection(
    deaf: Deaf, connections: list[weakref.ref[object]]
) -> None:
    full = Admission(
        1, most_running=1, proxies=TrustedProxies(()), cors=Cors(()), draining=Draining(0)
    )
    deaf.admission = full
    assert full.admit({"client": ("192.0.2.1", 1), "path": "/", "headers": []})
    async with serving(deaf) as port:
        assert b"503" in await exchange(port, POST % 1)
        await until_gone(connections)


async def test_connection_keeps_its_attributes_compactly(
    deaf: Deaf, port: int, connections: list[weakref.ref[object]]
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(POST % 1)
    async with asyncio.timeout(10):
        await deaf.called.wait()
    attributes = vars(connections[0]())
    # Instances share the keys of up to 30, and beyond that each has a table of its own.
    assert sys.getsizeof(attributes) < 500
    writer.close()


@pytest.mark.parametrize("sent", [POST % 1 + POST % 2 + POST % 3, POST % 1 + b"nonsense\r\n\r\n"])
async def test_connection_that_was_reset_is_freed_without_a_collection(
    deaf: Deaf, port: int, connections: list[weakref.ref[object]], sent: bytes
) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    async with asyncio.timeout(10):
        await deaf.called.wait()
    deaf.requests.clear()
    reset(writer)
    deaf.may_answer.set()
    await until_gone(connections)
