"""What a refusal says, and when a refused client is heard again."""

import asyncio
import json
import logging
from collections import Counter
from functools import partial

import pytest
from starlette.types import Scope

from service.http.connections.overload import (
    LONGEST_RETRY_SECONDS,
    PUT_OFF_SECONDS,
    RETRY_SECONDS,
    RETURNS_A_SECOND,
    Overload,
)
from service.http.cors import Cors
from tests.service.http.connections.fakes import FakeClock, FakeLoop

IN_FLIGHT = 30
ORIGIN = "https://app.example"


def scope(**headers: str) -> Scope:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"method": "GET", "path": "/api/tasks", "headers": fields}


def retry_after(of: Overload) -> int:
    answer = of.refusal(scope(), [], IN_FLIGHT).decode()
    return int(answer.partition("retry-after: ")[2].partition("\r\n")[0])


def test_fault74_refused_clients_are_told_to_return_one_after_the_other() -> None:
    clock = FakeClock()
    flooded = Overload(Cors(()), clock)
    at_once = [retry_after(flooded) for _ in range(7 * RETURNS_A_SECOND // 2)]
    assert at_once == sorted(at_once)
    told = Counter(at_once)
    assert set(told) == {1, 2, 3, 4}
    assert max(told.values()) <= RETURNS_A_SECOND
    # The next ones come after those that were told to return.
    clock.now += 1
    assert retry_after(flooded) == 3
    clock.now += LONGEST_RETRY_SECONDS
    assert retry_after(flooded) == RETRY_SECONDS


def test_fault74_retry_after_is_bounded_and_short_again_soon_after_a_flood() -> None:
    clock = FakeClock()
    flooded = Overload(Cors(()), clock)
    told = [retry_after(flooded) for _ in range(20 * RETURNS_A_SECOND)]
    assert max(told) == told[-1] == LONGEST_RETRY_SECONDS
    clock.now += LONGEST_RETRY_SECONDS - RETRY_SECONDS
    assert retry_after(flooded) == RETRY_SECONDS


async def test_refusal_is_a_problem_document_with_retry_after_and_cors_headers() -> None:
    asked = scope(x_request_id="given-by-a-proxy", origin=ORIGIN)
    answer = Overload(Cors((ORIGIN,)), FakeClock()).refusal(asked, [(b"date", b"today")], IN_FLIGHT)
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert headers["retry-after"] == str(RETRY_SECONDS)
    assert headers["content-type"] == "application/problem+json"
    assert headers["access-control-allow-origin"] == ORIGIN
    assert headers["date"] == "today"
    assert headers["x-request-id"] == "given-by-a-proxy"
    assert headers["cache-control"] == "no-store"
    assert "connection" not in headers
    assert int(headers["content-length"]) == len(body)
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (503, "overloaded")
    assert problem["request_id"] == "given-by-a-proxy"


async def test_refusal_of_a_head_request_has_no_body() -> None:
    asked = {**scope(), "method": "HEAD"}
    assert Overload(Cors(()), FakeClock()).refusal(asked, [], IN_FLIGHT).endswith(b"\r\n\r\n")


def test_overload_is_logged_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    flooded = Overload(Cors(()), clock)
    with caplog.at_level(logging.WARNING, "service"):
        for _ in range(100):
            flooded.refusal(scope(), [], IN_FLIGHT)
        clock.now += 1
        flooded.refusal(scope(), [], IN_FLIGHT)
    first, second = (record.getMessage() for record in caplog.records)
    assert "refused 1 requests" in first
    assert "refused 100 requests" in second
    assert f"{IN_FLIGHT} in flight" in second


def test_refused_connections_are_read_in_turn_or_when_retry_after_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = FakeLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    flooded = Overload(Cors(()), FakeClock())
    read: list[int] = []
    for number in range(3):
        flooded.read_later(partial(read.append, number))
    assert read == []
    flooded.read_next()
    assert read == [0]
    flooded.read_next()
    assert read == [0, 1]
    assert [timer.cancelled for timer in loop.timers] == [True, True, False]
    # Nothing ends any more, so it is read after a while.
    assert loop.timers[2].seconds == PUT_OFF_SECONDS
    loop.timers[2].call()
    assert read == [0, 1, 2]


def test_end_of_a_request_without_refused_connections_reads_none() -> None:
    Overload(Cors(()), FakeClock()).read_next()
