"""Malformed and ambiguous messages are refused in order; complete ones are answered."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send

from service.app import create_app
from service.settings.model import Settings
from tests.service.wire import LIVE, exchange, serving, status_of

HOST = b"Host: x\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: smuggled\r\n\r\n"
BODY = {"type": "http.response.body", "body": b"done"}
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-length", b"4"), (b"content-type", b"text/plain")],
}


def post(headers: bytes, body: bytes = b"0\r\n\r\n", version: bytes = b"1.1") -> bytes:
    return b"POST /livez HTTP/%s\r\n%s%s\r\n%s" % (version, HOST, headers, body)


UNCLEAR = {
    "no Host": b"GET /livez HTTP/1.1\r\n\r\n",
    "no Host with an absolute target": b"GET http://x/livez HTTP/1.1\r\n\r\n",
    "two Hosts": LIVE + b"Host: y\r\n\r\n",
    "the same Host twice": LIVE + b"host: x\r\n\r\n",
    "two Hosts in HTTP/1.0": b"GET /livez HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
    **{
        f"Host {value!r}": b"GET /livez HTTP/1.1\r\nHost: %s\r\n\r\n" % value.encode()
        for value in (
            "",
            " ",
            ":80",
            "x y",
            "x, y",
            "x,y",
            "x/",
            "http://x",
            "u@x",
            "x?",
            "x#",
            "x:port",
            "x:80:80",
            "x:-1",
            "[::1",
            "::1",
            "[x]",
            "[::1]x",
            "x:123456",
            "%zz",
            "é",
        )
    },
    "Host with a NUL": b"GET /livez HTTP/1.1\r\nHost: x\0\r\n\r\n",
    "space before the colon of Host": b"GET /livez HTTP/1.1\r\nHost : x\r\n\r\n",
    "Host on a folded line": b"GET /livez HTTP/1.1\r\nHost: x\r\n y\r\n\r\n",
    "Host behind a bare LF": b"GET /livez HTTP/1.1\r\nA: b\nHost: x\r\n\r\n",
    "bare LFs": b"GET /livez HTTP/1.1\nHost: x\n\n",
    "bare CR": b"GET /livez HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
    "white space before the first header": b"GET /livez HTTP/1.1\r\n Host: x\r\n\r\n",
    "a folded header": LIVE + b"A: b\r\n c\r\n\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "HTTP/2.0": b"GET /livez HTTP/2.0\r\nHost: x\r\n\r\n",
    "a target of another form": b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "Content-Length before Transfer-Encoding": post(
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    ),
    "Transfer-Encoding before Content-Length": post(
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"
    ),
    "Content-Length twice": post(b"Content-Length: 5\r\nContent-Length: 5\r\n"),
    "Content-Length as a list": post(b"Content-Length: 5, 5\r\n"),
    "Content-Length with a sign": post(b"Content-Length: +5\r\n"),
    "Content-Length without a number": post(b"Content-Length: \r\n"),
    **{
        f"Transfer-Encoding {value}": post(f"Transfer-Encoding: {value}\r\n".encode())
        for value in (
            "gzip",
            "gzip, chunked",
            "chunked, gzip",
            "chunked, chunked",
            "identity",
            "xchunked",
            "chunked;a=b",
            "chunked\t",
            "\x0bchunked",
            '"chunked"',
            "",
        )
    },
    "Transfer-Encoding twice": post(b"Transfer-Encoding: chunked\r\n" * 2),
    "chunked and then another": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n"),
    "Transfer-Encoding in HTTP/1.0": post(b"Transfer-Encoding: chunked\r\n", version=b"1.0"),
    **{
        f"chunk {chunk!r}": CHUNKED + chunk
        for chunk in (
            b"ZZZ\r\n",
            b"-3\r\nabc\r\n",
            b"0x3\r\nabc\r\n",
            b"3 \r\nabc\r\n",
            b"\r\n",
            b"3\nabc\r\n",
            b"3\r\nabcd\r\n",
            b"3\r\nabc\n",
            b"f" * 17 + b"\r\n",
        )
    },
}


@pytest.fixture(scope="module")
async def port(settings: Settings) -> AsyncIterator[int]:
    async with serving(create_app(settings)) as chosen:
        yield chosen


@pytest.mark.parametrize("case", UNCLEAR)
async def test_fault40_message_that_is_not_clear_is_400_and_ends_the_connection(
    port: int, case: str
) -> None:
    answer = await exchange(port, UNCLEAR[case] + SMUGGLED, end=False)
    # One response: the bytes after it were not read as a request.
    assert statuses(answer) == [400]
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert json.loads(body)["request_id"].encode() in head


@pytest.mark.parametrize(
    "request_bytes",
    [
        *(
            b"GET /livez HTTP/1.1\r\nHost: %s\r\n\r\n" % value
            for value in (
                b"x",
                b"x:",
                b"x:8000",
                b"EXAMPLE.com.",
                b"a_b-c~d",
                b" \t x \t",
                b"127.0.0.1:1",
                b"[::1]",
                b"[2001:db8::1]:80",
                b"[::ffff:10.0.0.1]",
                b"xn--bcher-kva.example",
            )
        ),
        b"GET /livez HTTP/1.0\r\n\r\n",
        b"GET /livez HTTP/1.0\r\nHost: x\r\n\r\n",
        b"GET http://other/livez HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhOsT:x\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
        LIVE + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\n\r\n",
        b"\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_clear_message_is_served(port: int, request_bytes: bytes) -> None:
    assert status_of(await exchange(port, request_bytes)) == 200


async def test_refused_head_request_gets_no_body(port: int) -> None:
    answer = await exchange(port, b"HEAD /livez HTTP/1.1\r\n\r\n", end=False)
    assert status_of(answer) == 400
    assert answer.endswith(b"\r\n\r\n")


async def test_offer_to_upgrade_ends_the_connection_with_its_answer(port: int) -> None:
    """The parser reads nothing after it, so a client would wait for ever for another response."""
    offer = LIVE + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    answer = await exchange(port, offer + LIVE + b"\r\n", end=False)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"connection: close" in answer


class Gate:
    """An application that answers when it is released, and records its requests."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.heard: list[str] = []
        self.entered, self.let = asyncio.Event(), asyncio.Event()
        self.reads_body = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        scope["request_id"] = f"id-of-{len(self.asked)}"
        self.asked.append(scope["path"])
        self.entered.set()
        if self.reads_body:
            while (message := await receive())["type"] == "http.request" and message["more_body"]:
                pass
            self.heard.append(message["type"])
        else:
            await self.let.wait()
        await send({**START})
        await send({**BODY})


Connected = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(app: Gate) -> AsyncIterator[Connected]:
    async with serving(app) as chosen:
        reader, writer = await asyncio.open_connection("127.0.0.1", chosen)
        try:
            async with asyncio.timeout(10):
                yield reader, writer
        finally:
            writer.close()


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z]", answers)]


async def test_body_that_is_bad_from_its_start_is_never_asked_of_the_application() -> None:
    app = Gate()
    async with connected(app) as (reader, writer):
        writer.write(CHUNKED + b"ZZZ\r\n")
        assert statuses(await reader.read()) == [400]
    assert app.asked == []


async def test_body_that_goes_bad_ends_the_request_and_is_answered_under_its_id() -> None:
    app = Gate()
    app.reads_body = True
    async with connected(app) as (reader, writer):
        writer.write(CHUNKED)
        await app.entered.wait()
        writer.write(b"ZZZ\r\n")
        answer = await reader.read()
    assert statuses(answer) == [400]
    assert b"x-request-id: id-of-0\r\n" in answer
    assert app.heard == ["http.disconnect"]


@pytest.mark.parametrize("bad", [b"nonsense\r\n\r\n", CHUNKED + b"ZZZ\r\n"], ids=["head", "body"])
async def test_requests_before_a_bad_one_are_answered_before_it_is_refused(bad: bytes) -> None:
    app = Gate()
    async with connected(app) as (reader, writer):
        writer.write(LIVE + b"\r\n")
        await app.entered.wait()
        writer.write(LIVE + b"\r\n" + bad + LIVE + b"\r\n")
        writer.write_eof()
        await half_closed(writer)
        app.let.set()
        assert statuses(await reader.read()) == [200, 200, 400]
    assert app.asked == ["/livez", "/livez"]


@pytest.mark.parametrize("count", [1, 3])
async def test_client_that_ends_its_side_after_whole_requests_gets_its_answers(count: int) -> None:
    app = Gate()
    async with connected(app) as (reader, writer):
        request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab"
        writer.write(request * count)
        writer.write_eof()
        await app.entered.wait()
        await half_closed(writer)
        app.let.set()
        answer = await reader.read()
    assert statuses(answer) == [200] * count
    assert app.asked == ["/"] * count


@pytest.mark.parametrize(
    "part", [b"Content-Length: 5\r\n\r\nab", b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"]
)
async def test_client_that_ends_its_side_within_a_body_is_refused(part: bytes) -> None:
    app = Gate()
    app.reads_body = True
    async with connected(app) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + part)
        await app.entered.wait()
        writer.write_eof()
        assert statuses(await reader.read()) == [400]
    assert app.heard == ["http.disconnect"]


async def test_client_that_ends_its_side_within_a_head_is_refused_after_the_answers() -> None:
    app = Gate()
    async with connected(app) as (reader, writer):
        writer.write(LIVE + b"\r\n" + LIVE)
        writer.write_eof()
        await app.entered.wait()
        await half_closed(writer)
        app.let.set()
        assert statuses(await reader.read()) == [200, 400]


async def half_closed(writer: asyncio.StreamWriter) -> None:
    """Wait until this loop, which the server uses too, has seen the end of the client's data."""
    await writer.drain()
    for _ in range(10):
        await asyncio.sleep(0)
