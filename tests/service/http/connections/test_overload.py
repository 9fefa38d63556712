"""Requests beyond the bound, on the wire."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Receive, Scope, Send

from service.app import create_app
from service.http.connections.admission import Admission
from service.http.cors import Cors
from service.http.draining import Draining
from service.http.forwarded import TrustedProxies
from service.http.front import Front
from service.settings.model import Settings
from tests.service.conftest import Person
from tests.service.wire import exchange, serving, status_of

PLACES = 16
OF_ONE_ADDRESS = 11
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Slow:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.draining = Draining(0)
        self.admission = Admission(
            PLACES,
            most_running=PLACES,
            proxies=TrustedProxies(()),
            cors=Cors(()),
            draining=self.draining,
        )
        self.may_answer = asyncio.Event()
        self.busy = asyncio.Event()
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.paths.append(scope["path"])
        if len(self.paths) == OF_ONE_ADDRESS:
            self.busy.set()
        await self.may_answer.wait()
        headers = [(b"content-length", b"4")]
        self.admission.leave(scope)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"done"})


@pytest.fixture
async def slow() -> Slow:
    return Slow()


@pytest.fixture
async def port(slow: Slow) -> AsyncIterator[int]:
    async with serving(slow) as chosen:
        yield chosen
        slow.may_answer.set()


def of_another(host: int) -> Scope:
    """Return the scope of a request from another address."""
    return {"client": (f"192.0.2.{host}", 1), "path": "/", "headers": []}


def list_tasks(authorization: str) -> bytes:
    head = f"GET /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n"
    return head.encode()


async def fill(slow: Slow, port: int) -> "list[asyncio.Task[bytes]]":
    tasks = [asyncio.create_task(exchange(port, GET)) for _ in range(OF_ONE_ADDRESS)]
    await slow.busy.wait()
    return tasks


async def test_fault70_request_beyond_the_bound_is_refused_at_once_and_the_others_are_answered(
    slow: Slow, port: int
) -> None:
    admitted = await fill(slow, port)
    refused = await exchange(port, GET)
    assert status_of(refused) == 503
    assert b"\r\nretry-after: 1\r\n" in refused
    assert len(slow.paths) == OF_ONE_ADDRESS
    slow.may_answer.set()
    assert [status_of(await task) for task in admitted] == [200] * OF_ONE_ADDRESS
    assert status_of(await exchange(port, GET)) == 200


async def test_connection_of_a_refused_request_can_be_used_again(slow: Slow, port: int) -> None:
    await fill(slow, port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    writer.write(post)
    assert status_of(await reader.readuntil(b"}")) == 503
    slow.may_answer.set()
    writer.write(b"GET /again HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status_of(await reader.read()) == 200
    assert slow.paths[-1] == "/again"
    writer.close()


async def test_pipelined_requests_are_refused_together(slow: Slow, port: int) -> None:
    await fill(slow, port)
    answer = await exchange(port, GET * 3, end=False)
    assert answer.count(b"HTTP/1.1 503") == 1
    assert b"\r\nconnection: close\r\n" in answer


async def test_client_that_sends_on_in_one_piece_with_a_refused_body_is_closed(
    slow: Slow, port: int
) -> None:
    await fill(slow, port)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    assert b"\r\nconnection: close\r\n" not in await reader.readuntil(b"}")
    writer.write(b"hello" + head)
    async with asyncio.timeout(10):
        answer = await reader.read()
    assert status_of(answer) == 503
    assert b"\r\nconnection: close\r\n" in answer
    writer.close()


async def test_client_that_asks_before_it_sends_its_body_is_refused_and_closed(
    slow: Slow, port: int
) -> None:
    await fill(slow, port)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    answer = await exchange(port, head, end=False)
    assert status_of(answer) == 503
    assert b"\r\nconnection: close\r\n" in answer


async def test_refusal_of_a_process_that_shuts_down_closes_the_connection(
    slow: Slow, port: int
) -> None:
    await fill(slow, port)
    slow.draining.begun = True
    answer = await exchange(port, GET, end=False)
    assert status_of(answer) == 503
    assert b"\r\nconnection: close\r\n" in answer


async def test_client_of_http_1_0_is_refused_and_closed(slow: Slow, port: int) -> None:
    await fill(slow, port)
    answer = await exchange(port, b"GET / HTTP/1.0\r\n\r\n", end=False)
    assert status_of(answer) == 503
    assert b"\r\nconnection: close\r\n" in answer


async def test_fault74_full_service_answers_probes_and_refuses_requests_before_the_token(
    settings: Settings, headers_of: Person
) -> None:
    app = create_app(settings.model_copy(update={"max_requests_in_flight": PLACES}))
    assert isinstance(app, Front)
    async with serving(app) as port:
        for host in range(PLACES):
            assert app.admission.admit(
                {"client": (f"192.0.2.{host}", 1), "path": "/", "headers": []}
            )
        for path in (b"/livez", b"/readyz", b"/metrics"):
            assert (
                status_of(await exchange(port, b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)) == 200
            )
        for token in ("Bearer garbage", headers_of("alice")["Authorization"]):
            answer = await exchange(port, list_tasks(token))
            assert status_of(answer) == 503
            assert b'"code":"overloaded"' in answer
        assert app.admission.in_flight == PLACES


async def test_requests_leave_their_places_when_they_end(
    settings: Settings, headers_of: Person
) -> None:
    app = create_app(settings)
    assert isinstance(app, Front)
    token = headers_of("alice")["Authorization"]
    async with serving(app) as port:
        answers = await exchange(port, list_tasks(token) * 3 + GET)
        assert answers.count(b"HTTP/1.1 200") == 3
        assert app.admission.in_flight == 0


async def test_user_beyond_their_share_gets_503(settings: Settings, headers_of: Person) -> None:
    app = create_app(settings.model_copy(update={"max_requests_in_flight": PLACES}))
    assert isinstance(app, Front)
    async with serving(app) as port:
        for host in range(PLACES - 2):
            assert app.admission.admit(
                {"client": (f"192.0.2.{host}", 1), "path": "/", "headers": []}
            )
        for _ in range(4):
            app.admission.admit_user("alice")
        for user, expected in (("alice", 503), ("bob", 200)):
            token = headers_of(user)["Authorization"]
            assert status_of(await exchange(port, list_tasks(token))) == expected
