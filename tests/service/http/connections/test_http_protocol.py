"""The limits on a connection, tested on the wire."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.app import create_app
from service.http.connections import dispatch
from service.http.connections import protocol as http_protocol
from service.settings.model import Settings
from tests.service.conftest import Person
from tests.service.wire import LIVE, exchange, serving, status_of

Ask = Callable[[bytes], "asyncio.Future[bytes]"]


@pytest.fixture(scope="module")
async def port(settings: Settings) -> AsyncIterator[int]:
    async with serving(create_app(settings)) as chosen:
        yield chosen


async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, part: bytes) -> None:
    """Send one more part, and check that the server closes the connection without a response."""
    with contextlib.suppress(ConnectionError):  # it may close before it has read everything
        writer.write(part)
        await writer.drain()
        async with asyncio.timeout(10):
            assert await reader.read() == b""
    writer.close()


async def test_request_within_the_bounds_is_served(port: int) -> None:
    answer = await exchange(port, LIVE + b"X-Long: " + b"x" * 30_000 + b"\r\n\r\n")
    assert status_of(answer) == 200


@pytest.mark.parametrize(
    "head",
    [
        LIVE + b"X-Long: " + b"x" * 2**20 + b"\r\n\r\n",
        LIVE + b"X-Endless: " + b"x" * 2**20,
        LIVE + b"X-Short: x\r\n" * 20_000 + b"\r\n",
        LIVE + (b"X-Some: " + b"x" * 2000 + b"\r\n") * 40 + b"\r\n",
    ],
    ids=["one long header", "one endless header", "20,000 headers", "many long headers"],
)
async def test_fault39_head_over_its_bounds_is_refused_with_a_problem(
    port: int, head: bytes
) -> None:
    answer = await exchange(port, head, end=False)
    assert status_of(answer) == 431
    headers, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in headers
    assert b"connection: close" in headers
    problem = json.loads(body)
    assert problem["code"] == "headers_too_large"
    assert problem["request_id"]


async def test_fault39_url_over_its_bound_is_refused(port: int) -> None:
    answer = await exchange(port, b"GET /?" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n")
    assert status_of(answer) == 414


@pytest.mark.parametrize(
    ("offered", "status"),
    [
        (b"x" * 10_000, 200),
        (b"x" * 65, 200),
        (b"12345678 \xff", 200),
        (b"12345678\t90", 200),
        (b"12345678\r\n 90", 400),
        (b"12345678\n90", 400),
        (b"12345678\r90", 400),
    ],
    ids=["10 kB", "65 characters", "a byte", "a tab", "a folded line", "a newline", "a return"],
)
async def test_fault44_request_id_that_is_no_id_is_replaced(
    port: int, caplog: pytest.LogCaptureFixture, offered: bytes, status: int
) -> None:
    caplog.set_level("INFO")
    answer = await exchange(port, LIVE + b"X-Request-ID: " + offered + b"\r\n\r\n")
    head = answer.partition(b"\r\n\r\n")[0]
    ids = [line for line in head.split(b"\r\n") if line.lower().startswith(b"x-request-id:")]
    assert status_of(answer) == status
    assert [len(line.partition(b": ")[2]) for line in ids] == [16]
    assert offered[:8] not in head
    assert offered[:8].decode() not in caplog.text


async def test_fault39_endless_trailer_closes_the_connection(port: int) -> None:
    head = b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + b"3\r\nabc\r\n0\r\n")
    assert status_of(await reader.readuntil(b"}")) == 405
    await ends(reader, writer, b"X: " + b"x" * 2**20)


async def test_long_chunk_is_no_trailer(port: int) -> None:
    head = b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n" % 2**20, b"x" * 2**20, b"\r\n"
    answer = await exchange(port, head, *chunk, b"0\r\n\r\n")
    assert status_of(answer) == 405
    assert answer.count(b"HTTP/1.1") == 1


async def test_trailer_is_not_a_header(port: int, headers_of: Person) -> None:
    authorization = headers_of("alice")["Authorization"].encode()
    head = b"GET /api/auth/me HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await exchange(
        port, head + b"1\r\nx\r\n0\r\nAuthorization: " + authorization + b"\r\n\r\n"
    )
    assert status_of(answer) == 401


async def test_what_is_no_http_is_refused_with_a_problem(port: int) -> None:
    answer = await exchange(port, b"\x16\x03\x01\x02\x00\x01\x00\x01")
    assert status_of(answer) == 400
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "malformed_request"


async def test_second_request_that_is_malformed_is_refused_after_the_answer_to_the_first(
    port: int,
) -> None:
    answer = await exchange(port, LIVE + b"\r\nnonsense\r\n\r\n", end=False)
    first, second = answer.split(b"HTTP/1.1 ")[1:]
    assert (first[:3], second[:3]) == (b"200", b"400")


async def test_request_that_was_answered_and_then_goes_wrong_gets_no_second_answer(
    port: int,
) -> None:
    head = b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head)
    assert status_of(await reader.readuntil(b"}")) == 401
    await ends(reader, writer, b"ZZZ\r\n")


async def test_pipelined_requests_are_answered_in_turn_up_to_a_bound(port: int) -> None:
    allowed = http_protocol.MAX_WAITING_REQUESTS + 1
    few = await exchange(port, (LIVE + b"\r\n") * allowed)
    assert few.count(b"HTTP/1.1 200") == allowed
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write((LIVE + b"\r\n") * 5_000)
    answered = 0
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            while data := await reader.read(65536):
                answered += data.count(b"HTTP/1.1 200")
    assert answered <= allowed
    writer.close()


async def test_body_behind_waiting_requests_is_not_kept_for_ever(port: int) -> None:
    head = b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    waiting = http_protocol.MAX_WAITING_REQUESTS
    requests = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * waiting + head
    with contextlib.suppress(ConnectionError):
        answer = await exchange(port, requests, b"%x\r\n" % 2**26, *[b"x" * 2**16] * 512)
        assert answer.count(b"HTTP/1.1") <= waiting + 1
    # The server still works, and has not kept 32 MB.
    assert status_of(await exchange(port, LIVE + b"\r\n")) == 200


@pytest.mark.parametrize("framing", [b"Content-Length: 36", b"Transfer-Encoding: chunked"])
async def test_body_behind_an_upgrade_is_never_read_as_a_request(port: int, framing: bytes) -> None:
    head = b"POST /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: foo\r\n"
    smuggled = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head + framing + b"\r\n\r\n")
    assert status_of(await reader.readuntil(b"}")) == 400
    writer.write(smuggled)
    async with asyncio.timeout(10):
        assert b"HTTP/1.1 200" not in await reader.read()
    writer.close()


async def test_offer_to_upgrade_without_a_body_is_the_request_it_is(port: int) -> None:
    head = LIVE + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert status_of(await exchange(port, head)) == 200


@pytest.mark.parametrize(
    "part",
    [
        b"",
        LIVE,
        LIVE + b"\r\n" + LIVE,
        b"POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",
    ],
    ids=["nothing", "half a head", "half a second head", "half a body"],
)
async def test_fault38_client_that_stops_half_way_loses_its_connection(
    port: int, part: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.05)
    monkeypatch.setattr(http_protocol, "ANSWER_SECONDS", 0.05)
    answer = await exchange(port, part, end=False)
    assert answer.count(b"HTTP/1.1") == (b"\r\n\r\n" in part)


async def test_fault38_client_that_sends_what_begins_no_request_loses_its_connection(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(LIVE + b"\r\n")
    await reader.readuntil(b"}")
    await ends(reader, writer, b"\r\n")


async def test_fault38_last_of_several_requests_is_answered_in_time_or_loses_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_protocol, "ANSWER_SECONDS", 0.05)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        if scope["path"] == "/slow":
            await asyncio.Event().wait()
        await Response(b"{}")(scope, receive, send)

    async with serving(app) as port:
        slow = LIVE.replace(b"/livez", b"/slow")
        answer = await exchange(port, LIVE + b"\r\n" + slow + b"\r\n", end=False)
    assert answer.count(b"HTTP/1.1 200") == 1


async def test_fault38_client_that_does_not_read_its_answers_loses_its_connection(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(dispatch, "LINGER_SECONDS", 0.05)
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(0)
    loop = asyncio.get_running_loop()
    request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"

    async def send_for_ever() -> None:
        while True:
            await loop.sock_sendall(client, request * 10)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(send_for_ever(), 10)
    client.close()
