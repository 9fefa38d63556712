"""How many requests are admitted, and which are refused."""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_network

import pytest
from starlette.types import Scope

from service.http.admission import (
    LONGEST_RETRY_SECONDS,
    PLACES_FOR_PROBES,
    REFUSALS_A_SECOND,
    RETRY_SECONDS,
    Admission,
    OverloadedError,
)
from service.http.cors import Cors
from service.http.draining import Draining
from service.http.forwarded import TrustedProxies

MOST = 30
TWO_THIRDS = 20
ORIGIN = "https://app.example"
PROXY = "10.0.0.1"


@dataclass
class FakeClock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeTimer:
    seconds: float
    call: Callable[[], object]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class FakeLoop:
    timers: list[FakeTimer] = field(default_factory=list)

    def call_later(
        self, seconds: float, call: Callable[..., object], *arguments: object
    ) -> FakeTimer:
        self.timers.append(FakeTimer(seconds, lambda: call(*arguments)))
        return self.timers[-1]


def admission(clock: FakeClock | None = None) -> Admission:
    proxies = TrustedProxies((ip_network(PROXY),))
    return Admission(
        MOST,
        most_running=MOST,
        proxies=proxies,
        cors=Cors((ORIGIN,)),
        draining=Draining(0),
        clock=clock or FakeClock(),
    )


def scope(address: str, path: str = "/api/tasks", **headers: str) -> Scope:
    fields = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"client": (address, 1), "method": "GET", "path": path, "headers": fields}


def admitted(of: Admission, address: str, tries: int = 2 * MOST) -> list[Scope]:
    """Send requests from an address, and return those that were admitted."""
    return [asked for asked in (scope(address) for _ in range(tries)) if of.admit(asked)]


def test_one_address_gets_two_thirds_of_the_places() -> None:
    assert len(admitted(admission(), "192.0.2.1")) == TWO_THIRDS


def test_fault70_busy_addresses_leave_places_for_others() -> None:
    bounded = admission()
    greedy = [len(admitted(bounded, f"192.0.2.{host}")) for host in range(1, 3)]
    assert greedy == [20, 7]
    assert bounded.admit(scope("198.51.100.1"))


def test_fault70_no_more_than_the_bound_are_in_flight() -> None:
    bounded = admission()
    got_in = [bounded.admit(scope(f"192.0.{host}.1")) for host in range(2 * MOST)]
    assert sum(got_in) == bounded.in_flight == MOST


def test_request_that_ended_makes_room() -> None:
    bounded = admission()
    mine = admitted(bounded, "192.0.2.1")
    assert not bounded.admit(scope("192.0.2.1"))
    bounded.leave(mine[0])
    assert bounded.admit(scope("192.0.2.1"))


def test_address_whose_requests_have_ended_has_its_whole_share_again() -> None:
    bounded = admission()
    for asked in admitted(bounded, "192.0.2.1"):
        bounded.leave(asked)
    assert bounded.in_flight == 0
    assert len(admitted(bounded, "192.0.2.1")) == TWO_THIRDS


def test_request_that_was_not_admitted_does_not_make_room() -> None:
    bounded = admission()
    admitted(bounded, "192.0.2.1")
    refused = scope("192.0.2.1")
    assert not bounded.admit(refused)
    bounded.leave(refused)
    assert bounded.in_flight == TWO_THIRDS


def test_addresses_of_one_ipv6_network_share_their_places() -> None:
    bounded = admission()
    got_in = [bounded.admit(scope(f"2001:db8::{host:x}")) for host in range(1, 2 * MOST)]
    assert sum(got_in) == TWO_THIRDS
    assert bounded.admit(scope("2001:db8:0:1::1"))


def test_clients_behind_a_trusted_proxy_count_by_their_own_address() -> None:
    bounded = admission()
    for host in ("192.0.2.1", "192.0.2.2"):
        assert bounded.admit(scope(PROXY, x_forwarded_for=host))
    one = [bounded.admit(scope(PROXY, x_forwarded_for="192.0.2.3")) for _ in range(2 * MOST)]
    assert not all(one)
    assert bounded.admit(scope(PROXY, x_forwarded_for="192.0.2.4"))


def test_client_behind_proxies_that_each_add_a_field_counts_by_its_own_address() -> None:
    bounded = admission()
    for host in range(1, MOST):
        asked = scope(PROXY, x_forwarded_for=f"192.0.2.{host}")
        asked["headers"].append((b"x-forwarded-for", PROXY.encode()))
        assert bounded.admit(asked)


def test_address_that_an_untrusted_client_forwards_is_ignored() -> None:
    bounded = admission()
    got_in = [
        bounded.admit(scope("192.0.2.1", x_forwarded_for=f"198.51.100.{host}"))
        for host in range(2 * MOST)
    ]
    assert sum(got_in) == TWO_THIRDS


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_fault74_probes_have_places_of_their_own(path: str) -> None:
    bounded = admission()
    for host in range(MOST):
        assert bounded.admit(scope(f"192.0.{host}.1"))
    assert not bounded.admit(scope("198.51.100.1"))
    probes = [bounded.admit(scope("198.51.100.1", path)) for _ in range(2 * PLACES_FOR_PROBES)]
    assert sum(probes) == PLACES_FOR_PROBES


def test_fault70_fault74_address_that_sends_only_probes_leaves_places_for_others() -> None:
    bounded = admission()
    mine = [scope("192.0.2.1", "/readyz") for _ in range(4 * (MOST + PLACES_FOR_PROBES))]
    mine = [asked for asked in mine if bounded.admit(asked)]
    assert len(mine) == TWO_THIRDS + PLACES_FOR_PROBES
    for asked in mine:
        bounded.leave(asked)
    assert bounded.in_flight == 0
    # What ended has left the places of probes as well.
    again = [bounded.admit(scope("192.0.2.1", "/readyz")) for _ in range(4 * len(mine))]
    assert sum(again) == len(mine)


def test_fault74_user_with_many_addresses_gets_no_more_than_their_share() -> None:
    bounded = admission()
    refused = 0
    for host in range(MOST - 1):
        assert bounded.admit(scope(f"192.0.{host}.1"))
        try:
            bounded.admit_user("alice")
        except OverloadedError:
            refused += 1
    assert refused >= MOST - 1 - TWO_THIRDS - 1
    bounded.admit_user("bob")
    bounded.leave_user("alice")
    bounded.leave_user("bob")


def retry_after(of: Admission) -> int:
    answer = of.refusal(scope("192.0.2.1"), []).decode()
    return int(answer.partition("retry-after: ")[2].partition("\r\n")[0])


async def test_fault74_retry_after_grows_with_the_number_of_refusals() -> None:
    clock = FakeClock()
    flooded = admission(clock)
    seen = []
    for refusals_each_second in (0, 1, 2, 20, 2, 0):
        for _ in range(refusals_each_second * REFUSALS_A_SECOND):
            retry_after(flooded)
        clock.now += 1
        seen.append(retry_after(flooded))
    assert seen == [RETRY_SECONDS, 2, 3, LONGEST_RETRY_SECONDS, 3, RETRY_SECONDS]


async def test_refusal_is_a_problem_document_with_retry_after_and_cors_headers() -> None:
    asked = scope("192.0.2.1", x_request_id="given-by-a-proxy", origin=ORIGIN)
    answer = admission().refusal(asked, [(b"date", b"today")])
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
    asked = {**scope("192.0.2.1"), "method": "HEAD"}
    assert admission().refusal(asked, []).endswith(b"\r\n\r\n")


def test_overload_is_logged_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    bounded = admission(clock)
    with caplog.at_level(logging.WARNING, "service"):
        for _ in range(100):
            bounded.refusal(scope("192.0.2.1"), [])
        clock.now += 1
        bounded.refusal(scope("192.0.2.1"), [])
    first, second = (record.getMessage() for record in caplog.records)
    assert "refused 1 requests" in first
    assert "refused 100 requests" in second


def test_each_request_that_ends_lets_a_refused_connection_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = FakeLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    bounded = admission()
    mine = admitted(bounded, "192.0.2.1", tries=2)
    read: list[int] = []
    for number in range(3):
        bounded.read_later(lambda number=number: read.append(number))  # type: ignore[misc] # bound here
    assert read == []
    bounded.leave(mine[0])
    assert read == [0]
    bounded.leave(mine[1])
    assert read == [0, 1]
    assert [timer.cancelled for timer in loop.timers] == [True, True, False]
    # Nothing ends any more: it is read when a client that obeys Retry-After may come back.
    assert loop.timers[2].seconds == RETRY_SECONDS
    loop.timers[2].call()
    assert read == [0, 1, 2]


def test_connection_that_is_refused_twice_in_one_turn_is_read_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = FakeLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    bounded = admission()
    read: list[str] = []

    def read_on() -> None:
        read.append("read")

    # The pipelined requests of one connection.
    bounded.read_later(read_on)
    bounded.read_later(read_on)
    for timer in loop.timers:
        timer.call()
    assert read == ["read"]
