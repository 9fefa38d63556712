"""Requests that are admitted and wait, on the wire."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.app import create_app
from service.http.connections import dispatch, overload, running
from service.http.connections.admission import Admission
from service.http.cors import Cors
from service.http.draining import Draining
from service.http.forwarded import TrustedProxies
from service.settings.model import Settings
from tests.service.wire import exchange, reset, serving, status_of

PLACES = 30
RUN = 3
OF_ONE_ADDRESS = 2
marked: ContextVar[str] = ContextVar("marked", default="")


class OneByOne:
    """An application that answers a request when it is told to."""

    def __init__(self) -> None:
        self.draining = Draining(0)
        self.admission = Admission(
            PLACES,
            most_running=RUN,
            proxies=TrustedProxies(()),
            cors=Cors(()),
            draining=self.draining,
        )
        self.may_answer = asyncio.Semaphore(0)
        self.paths: list[str] = []
        self.bodies: list[bytes] = []
        self.contexts: list[str] = []
        self.most = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.contexts.append(marked.get())
        marked.set(scope["path"])
        self.paths.append(scope["path"])
        self.most = max(self.most, self.admission.running)
        try:
            await self.may_answer.acquire()
            message = await receive()
            self.bodies.append(message.get("body", b""))
        finally:
            self.admission.leave(scope)
        headers = [(b"content-length", b"4")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"done"})

    def answer(self, number: int) -> None:
        for _ in range(number):
            self.may_answer.release()


@pytest.fixture
async def app() -> OneByOne:
    return OneByOne()


@pytest.fixture
async def port(app: OneByOne) -> AsyncIterator[int]:
    async with serving(app) as chosen:
        yield chosen
        app.answer(100)


def get(path: str) -> bytes:
    return f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)


async def fill(app: OneByOne, port: int) -> "list[asyncio.Task[bytes]]":
    """Use all places of one address that run."""
    tasks = [asyncio.create_task(exchange(port, get("first"))) for _ in range(OF_ONE_ADDRESS)]
    await until(lambda: len(app.paths) == OF_ONE_ADDRESS)
    return tasks


async def connect(port: int, message: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(message)
    return reader, writer


async def test_fault70_requests_wait_for_those_that_run_and_all_are_answered(
    app: OneByOne, port: int
) -> None:
    first = await fill(app, port)
    others = []
    for number in range(5):
        others.append(asyncio.create_task(exchange(port, get(str(number)))))
        await until(lambda number=number: app.admission.waiting == number + 1)  # type: ignore[misc] # bound here
    assert (app.admission.running, app.admission.in_flight) == (2, 7)
    assert app.paths == ["/first"] * 2
    app.answer(7)
    assert [status_of(answer) for answer in await asyncio.gather(*first, *others)] == [200] * 7
    assert app.paths[OF_ONE_ADDRESS:] == [f"/{number}" for number in range(5)]
    assert app.most == OF_ONE_ADDRESS
    assert (app.admission.running, app.admission.waiting, app.admission.in_flight) == (0, 0, 0)


async def test_fault53_client_that_is_gone_leaves_the_line_and_nothing_is_done_for_it(
    app: OneByOne, port: int
) -> None:
    await fill(app, port)
    _, writer = await connect(port, get("gone"))
    await until(lambda: app.admission.waiting == 1)
    reset(writer)
    await until(lambda: app.admission.waiting == 0)
    assert app.admission.in_flight == OF_ONE_ADDRESS
    app.answer(3)
    assert status_of(await exchange(port, get("next"))) == 200
    assert "/gone" not in app.paths


async def test_client_that_only_ends_its_own_side_stays_in_the_line(
    app: OneByOne, port: int
) -> None:
    await fill(app, port)
    reader, writer = await connect(port, get("half"))
    writer.write_eof()
    await until(lambda: app.admission.waiting == 1)
    app.answer(3)
    assert status_of(await reader.read()) == 200
    writer.close()


async def test_requests_that_are_pipelined_behind_a_waiting_one_are_answered_in_turn(
    app: OneByOne, port: int
) -> None:
    await fill(app, port)
    pipelined = asyncio.create_task(exchange(port, get("a") + get("b") + get("c")))
    await until(lambda: app.admission.waiting == 1)
    # A connection has one request in flight at a time.
    assert app.admission.in_flight == OF_ONE_ADDRESS + 1
    app.answer(5)
    assert (await pipelined).count(b"HTTP/1.1 200") == 3
    assert app.paths[OF_ONE_ADDRESS:] == ["/a", "/b", "/c"]


async def test_body_of_a_waiting_request_arrives_whole(app: OneByOne, port: int) -> None:
    await fill(app, port)
    head = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n"
    reader, writer = await connect(port, head + b"hello ")
    await until(lambda: app.admission.waiting == 1)
    writer.write(b"world")
    await writer.drain()
    writer.write_eof()
    app.answer(3)
    assert status_of(await reader.read()) == 200
    assert b"".join(app.bodies).startswith(b"hello ")
    writer.close()


async def test_waiting_request_whose_body_becomes_malformed_is_refused_and_not_begun(
    app: OneByOne, port: int
) -> None:
    await fill(app, port)
    head = b"POST /bad HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, writer = await connect(port, head + b"5\r\nhello\r\n")
    await until(lambda: app.admission.waiting == 1)
    writer.write(b"no chunk\r\n")
    assert status_of(await reader.read()) == 400
    assert (app.admission.waiting, app.admission.in_flight) == (0, OF_ONE_ADDRESS)
    app.answer(2)
    await until(lambda: app.admission.in_flight == 0)
    assert "/bad" not in app.paths
    writer.close()


async def test_fault70_request_that_waits_too_long_gets_503_and_is_not_begun(
    app: OneByOne, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(running, "LOOK_SECONDS", 0.01)
    await fill(app, port)
    reader, writer = await connect(port, get("late"))
    late = await reader.readuntil(b"}")
    assert status_of(late) == 503
    assert b"\r\nretry-after: 1\r\n" in late
    assert b'"code":"overloaded"' in late
    assert app.admission.in_flight == OF_ONE_ADDRESS
    app.answer(2)
    await until(lambda: app.admission.in_flight == 0)
    assert "/late" not in app.paths
    writer.close()


@pytest.mark.parametrize("path", ["livez", "readyz", "metrics"])
async def test_fault74_probes_do_not_wait(app: OneByOne, port: int, path: str) -> None:
    await fill(app, port)
    _, writer = await connect(port, get("waits"))
    await until(lambda: app.admission.waiting == 1)
    probe = asyncio.create_task(exchange(port, get(path)))
    await until(lambda: f"/{path}" in app.paths)
    assert app.admission.waiting == 1
    app.answer(4)
    assert status_of(await probe) == 200
    writer.close()


async def test_request_of_another_address_does_not_wait_for_a_busy_one(
    app: OneByOne, port: int
) -> None:
    await fill(app, port)
    _, waits = await connect(port, get("waits"))
    await until(lambda: app.admission.waiting == 1)
    _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
    writer.write(get("neighbour"))
    await until(lambda: "/neighbour" in app.paths)
    assert app.admission.waiting == 1
    waits.close()
    writer.close()


async def test_request_does_not_see_the_context_of_the_one_that_made_room(
    app: OneByOne, port: int
) -> None:
    await fill(app, port)
    waiting = asyncio.create_task(exchange(port, get("second")))
    await until(lambda: app.admission.waiting == 1)
    app.answer(3)
    assert status_of(await waiting) == 200
    assert app.contexts == [""] * 3


async def test_waiting_requests_are_served_when_the_server_shuts_down(app: OneByOne) -> None:
    async with serving(app) as port:
        first = await fill(app, port)
        waiting = asyncio.create_task(exchange(port, get("waits"), end=False))
        await until(lambda: app.admission.waiting == 1)
        app.draining.begun = True
        app.answer(3)
    assert [status_of(await task) for task in (*first, waiting)] == [200] * 3


async def test_waiting_requests_are_refused_when_the_server_shuts_down_and_others_hang(
    app: OneByOne, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(running, "LOOK_SECONDS", 0.01)
    async with serving(app) as port:
        await fill(app, port)
        app.draining.begun = True
        answer = await exchange(port, get("waits"), end=False)
        app.answer(2)
    assert status_of(answer) == 503
    assert b"\r\nconnection: close\r\n" in answer


async def test_fault74_client_that_ignores_retry_after_is_put_off_until_a_request_ends(
    app: OneByOne, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overload, "PUT_OFF_SECONDS", 60)
    app.admission._most = OF_ONE_ADDRESS
    await fill(app, port)
    app.admission._most = 0
    reader, writer = await connect(port, get("refused"))
    assert status_of(await reader.readuntil(b"}")) == 503
    writer.write(get("early"))
    await until(lambda: len(app.admission.overload._unread) == 1)
    assert "/early" not in app.paths
    app.admission._most = PLACES
    app.answer(1)
    await until(lambda: "/early" in app.paths)
    app.answer(2)
    assert status_of(await reader.readuntil(b"done")) == 200
    writer.close()


async def test_client_that_waits_as_retry_after_says_is_not_put_off(
    app: OneByOne, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overload, "PUT_OFF_SECONDS", 60)
    monkeypatch.setattr(dispatch, "PUT_OFF_SECONDS", 0)
    app.admission._most = 0
    reader, writer = await connect(port, get("refused"))
    assert status_of(await reader.readuntil(b"}")) == 503
    app.admission._most = PLACES
    writer.write(get("later"))
    app.answer(1)
    async with asyncio.timeout(10):
        assert status_of(await reader.readuntil(b"done")) == 200
    assert not app.admission.overload._unread
    writer.close()


async def test_duration_of_a_request_that_waited_counts_from_its_arrival(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "service.requests")
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/livez",
        "raw_path": b"/livez",
        "query_string": b"",
        "headers": [],
        "scheme": "http",
        "client": ("192.0.2.1", 1),
        running.ARRIVED: time.perf_counter() - 60,
    }
    await create_app(settings)(scope, receive, send)
    assert sent[0]["status"] == 200
    [line] = [text for text in caplog.messages if "GET /livez 200" in text]
    assert float(line.split()[3]) >= 60_000
