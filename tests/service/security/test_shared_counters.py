"""Rate limits that processes count together: a busy store, one that is down, and one that hangs."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from redis import Redis as Client

from scripts.devstack.network import free_ports
from service.security.breaker import FAILURES, StoreError
from service.security.limit import parse_limit
from service.security.rate_limits import RateLimitedError, RateLimits
from service.security.shared_counters import SharedCounters
from service.settings.model import Settings
from tests.conftest import DatabaseUrls
from tests.service.conftest import Person, rates
from tests.service.security.test_rate_limits import limited
from tests.simulators.redis_server import SERVER, HangingStore, Redis

_PAUSE = "service.security.breaker.PAUSE_SECONDS"
_PATIENCE = "service.security.shared_counters._STORE_SECONDS"
KEY = b"k" * 32
LimitsOf = Callable[[str, str], RateLimits]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    if SERVER is None and os.environ.get("CI") != "true":
        pytest.skip("redis-server is not installed; in CI it is")
    server = Redis(free_ports(1)[0], tmp_path)
    yield server
    server.stop()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the store however busy this machine is."""
    monkeypatch.setattr(_PATIENCE, 30.0)


@pytest.fixture
async def limits_of() -> AsyncIterator[LimitsOf]:
    """Return a function that creates limits for tasks; they are closed after the test."""
    created: list[RateLimits] = []

    def limits_of(url: str, limit: str) -> RateLimits:
        created.append(RateLimits({"tasks": parse_limit(limit)}, storage=url, key=KEY))
        return created[-1]

    yield limits_of
    for limits in created:
        await limits.close()


async def until(limits: RateLimits, *, available: bool) -> None:
    async with asyncio.timeout(10):
        while limits.available is not available:  # noqa: ASYNC110 - as monitoring reads it
            await asyncio.sleep(0)


async def allowed(limits: RateLimits, name: str, times: int) -> int:
    """Return how many of `times` requests at once are within the limit."""
    hits = (limits.hit("tasks", name) for _ in range(times))
    found = await asyncio.gather(*hits, return_exceptions=True)
    refused = [one for one in found if isinstance(one, RateLimitedError)]
    assert len(refused) == len([one for one in found if isinstance(one, BaseException)])
    return times - len(refused)


@pytest.mark.usefixtures("patient")
async def test_processes_that_share_a_store_count_together(
    database: DatabaseUrls, settings: Settings, alice: httpx.Headers, redis: Redis
) -> None:
    await redis.start()
    changes = {"rate_limits": rates(tasks="3/minute"), "rate_limit_storage": redis.url}
    async with (
        limited(database, settings, **changes) as one,
        limited(database, settings, **changes) as other,
    ):
        statuses = [
            (await client.get("/api/tasks", headers=alice)).status_code
            for client in (one, other, one, other, one)
        ]
        assert statuses == [200, 200, 200, 429, 429]


@pytest.mark.usefixtures("patient")
async def test_request_that_the_store_refuses_does_not_count_in_its_process(
    redis: Redis, limits_of: LimitsOf
) -> None:
    await redis.start()
    one, other = (limits_of(redis.url, "3/minute") for _ in range(2))
    assert await allowed(one, "ada", 3) == 3
    assert await allowed(other, "ada", 10) == 0
    Client.from_url(redis.url).flushall()
    assert await allowed(other, "ada", 10) == 3
    await other.close()


@pytest.mark.usefixtures("patient")
async def test_nobodys_address_or_name_is_in_the_store(redis: Redis) -> None:
    await redis.start()
    limits = RateLimits({"login": parse_limit("1/minute")}, storage=redis.url, key=KEY)
    await limits.hit("login", "ada@example.com")
    reader, writer = await asyncio.open_connection("127.0.0.1", redis.port)
    writer.write(b"KEYS *\r\n")
    keys = await reader.readuntil(b"LIMITER") + await reader.readline()
    writer.close()
    assert b"/login/" in keys
    assert b"ada@example.com" not in keys
    with pytest.raises(RateLimitedError):
        await limits.hit("login", "ada@example.com")
    await limits.close()


@pytest.mark.usefixtures("patient")
async def test_fault73_200_users_at_once_wait_for_a_few_connections(
    redis: Redis, limits_of: LimitsOf
) -> None:
    await redis.start()
    limits, other = (limits_of(redis.url, "1/minute") for _ in range(2))
    names = [f"user-{number}" for number in range(200)]
    await asyncio.gather(*(limits.hit("tasks", name) for name in names))
    assert limits.not_shared == 0
    assert Client.from_url(redis.url).info("stats")["total_connections_received"] < 20
    assert [await allowed(other, name, 1) for name in names] == [0] * 200
    await other.close()


async def test_fault73_200_requests_at_once_get_the_limit_and_leave_the_store_in_use(
    database: DatabaseUrls,
    settings: Settings,
    alice: httpx.Headers,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await redis.start()
    changes = {"rate_limits": rates(tasks="30/minute"), "rate_limit_storage": redis.url}
    async with limited(database, settings, **changes) as client:
        requests = (client.get("/api/auth/me", headers=alice) for _ in range(200))
        answers = await asyncio.gather(*requests)
        assert Counter(answer.status_code for answer in answers) == {200: 30, 429: 170}
        assert (await client.get("/readyz")).json()["rate_limits"] == "ok"
    assert "rate limit store" not in caplog.text


async def test_fault73_150_sign_ins_of_one_address_keep_no_other_address_out(
    database: DatabaseUrls, settings: Settings, redis: Redis
) -> None:
    await redis.start()
    changes = {"rate_limits": rates(login="5/minute"), "rate_limit_storage": redis.url}
    trusted = {"peer": "10.1.2.3", "trusted_proxies": ("10.0.0.0/8",)}
    addresses = ["192.0.2.1"] * 150 + [f"198.51.100.{number}" for number in range(39)]
    async with limited(database, settings, **changes, **trusted) as client:
        answers = await asyncio.gather(
            *(
                client.post("/api/auth/login", json={}, headers={"X-Forwarded-For": address})
                for address in addresses
            )
        )
        statuses = [answer.status_code for answer in answers]
        assert Counter(statuses[:150]) == {422: 5, 429: 145}
        assert statuses[150:] == [422] * 39


async def test_fault73_while_the_store_is_down_each_process_keeps_the_limits(
    database: DatabaseUrls, settings: Settings, headers_of: Person, redis: Redis
) -> None:
    limits = rates(tasks="5/minute", login="2/minute")
    changes = {"rate_limits": limits, "rate_limit_storage": redis.url}
    async with limited(database, settings, **changes) as client:
        statuses = [
            (await client.get("/api/tasks", headers=headers_of("alice"))).status_code
            for _ in range(8)
        ]
        assert statuses == [200] * 5 + [429] * 3
        assert (await client.get("/api/tasks", headers=headers_of("bob"))).status_code == 200
        sign_ins = [(await client.post("/api/auth/login", json={})).status_code for _ in range(4)]
        assert sign_ins == [422, 422, 429, 429]


async def test_store_that_is_down_is_reported_and_used_again_when_it_is_back(
    database: DatabaseUrls,
    settings: Settings,
    alice: httpx.Headers,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(_PAUSE, 0.01)
    await redis.start()
    async with limited(database, settings, rate_limit_storage=redis.url) as client:
        assert (await client.get("/api/tasks", headers=alice)).status_code == 200
        redis.stop()
        async with asyncio.timeout(10):
            while (await client.get("/readyz")).json()["rate_limits"] == "ok":
                answer = await client.get("/api/tasks", headers=alice)
                assert answer.status_code == 200
                assert "RateLimit" in answer.headers
        assert "the rate limit store is unavailable" in caplog.text
        assert (await client.get("/readyz")).status_code == 200
        await redis.start()
        async with asyncio.timeout(10):
            while (await client.get("/readyz")).json()["rate_limits"] != "ok":
                assert (await client.get("/api/tasks", headers=alice)).status_code == 200


@pytest.mark.usefixtures("patient")
async def test_requests_that_were_counted_in_the_store_count_when_it_is_down(
    redis: Redis, limits_of: LimitsOf
) -> None:
    await redis.start()
    limits = limits_of(redis.url, "30/minute")
    assert await allowed(limits, "ada", 20) == 20
    redis.stop()
    assert await allowed(limits, "ada", 200) == 10
    await limits.close()


async def test_fault85_requests_do_not_wait_for_a_store_that_hangs_and_one_probe_asks_it(
    limits_of: LimitsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_PATIENCE, 0.05)
    monkeypatch.setattr(_PAUSE, 3_600)
    async with HangingStore().running() as store:
        limits = limits_of(store.url, "3/minute")
        for number in range(FAILURES):
            await limits.hit("tasks", f"user-{number}")
        await until(limits, available=False)
        assert store.connections == FAILURES + 1
        for _ in range(3):
            names = (f"another-{number}" for number in range(200))
            await asyncio.gather(*(limits.hit("tasks", name) for name in names))
        assert await allowed(limits, "another-0", 5) == 0
        assert await allowed(limits, "user-0", 5) == 2
        assert store.connections == FAILURES + 1
        await limits.close()


async def test_fault85_frozen_store_is_used_again_when_it_goes_on(
    redis: Redis, limits_of: LimitsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_PATIENCE, 0.05)
    monkeypatch.setattr(_PAUSE, 0.01)
    await redis.start()
    limits = limits_of(redis.url, "1000/minute")
    await limits.hit("tasks", "ada")
    redis.freeze()
    assert await allowed(limits, "ada", 100) == 100
    await until(limits, available=False)
    redis.resume()
    await until(limits, available=True)
    async with asyncio.timeout(10):
        while True:
            before = limits.not_shared
            await limits.hit("tasks", "ada")
            if limits.not_shared == before:
                break
    await limits.close()


async def test_probe_does_not_trust_a_store_that_is_slow(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await redis.start()
    counters = SharedCounters(redis.url, KEY)
    await counters.probe()
    clock = SimpleNamespace(perf_counter=iter([0, 9]).__next__)
    monkeypatch.setattr("service.security.shared_counters.time", clock)
    with pytest.raises(StoreError, match=r"an answer takes longer than 0\.25 s"):
        await counters.probe()
    await counters.close()
