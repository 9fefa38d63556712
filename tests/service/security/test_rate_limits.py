"""Rate limits: which requests are counted together, and the responses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from scripts.proofs.in_process import running
from service.app import create_app
from service.security.limit import parse_limit
from service.settings.model import Settings
from tests.conftest import DatabaseUrls
from tests.service.conftest import rates, settings_for

LOGIN = {"email": "ada@example.com", "password": "correct horse"}
_PREFIX = "service.security.rate_limits.IPV6_PREFIX"


@asynccontextmanager
async def limited(
    database: DatabaseUrls, settings: Settings, **changes: object
) -> AsyncIterator[httpx.AsyncClient]:
    peer = str(changes.pop("peer", "127.0.0.1"))
    # Nothing answers there: a request within the limits is 503 at once.
    better_auth = {
        "better_auth_url": "http://127.0.0.1:9",
        "jwt_issuer": ("http://localhost:3000",),
    }
    ours = settings_for(
        database.app,
        jwks_url=settings.jwks_url,
        **better_auth,
        jwt_audience=("http://localhost:3000",),
        **changes,
    )
    app = create_app(ours)
    transport = httpx.ASGITransport(app, client=(peer, 50_000))
    async with (
        running(app),
        httpx.AsyncClient(transport=transport, base_url="http://api.test") as client,
    ):
        yield client


async def test_fault46_user_over_the_limit_is_told_when_to_come_back_and_others_are_not_touched(
    database: DatabaseUrls, settings: Settings, alice: httpx.Headers, bob: httpx.Headers
) -> None:
    async with limited(database, settings, rate_limits=rates(tasks="3/minute")) as client:
        answers = [await client.get("/api/tasks", headers=alice) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["RateLimit-Policy"] == '"default";q=3;w=60'
        assert answers[0].headers["RateLimit"].startswith('"default";r=2;t=')
        refused = answers[-1]
        assert refused.json()["code"] == "rate_limited"
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert refused.headers["RateLimit"].startswith('"default";r=0;t=')
        assert (await client.get("/api/tasks", headers=bob)).status_code == 200
        assert (await client.get("/livez")).status_code == 200


async def test_refused_tokens_count_for_nobody(
    database: DatabaseUrls, settings: Settings, alice: httpx.Headers
) -> None:
    forged = {"Authorization": alice["Authorization"][:-8] + "AAAAAAAA"}
    async with limited(database, settings, rate_limits=rates(tasks="3/minute")) as client:
        for _ in range(5):
            assert (await client.get("/api/tasks", headers=forged)).status_code == 401
        assert (await client.get("/api/tasks", headers=alice)).status_code == 200


@pytest.mark.parametrize("path", ["login", "register"])
async def test_sign_ins_from_one_address_are_limited_before_their_bodies_are_read(
    database: DatabaseUrls, settings: Settings, path: str
) -> None:
    async with limited(database, settings, rate_limits=rates(**{path: "5/minute"})) as client:
        statuses = [(await client.post(f"/api/auth/{path}", json={})).status_code for _ in range(6)]
        assert statuses == [422] * 5 + [429]
        other = "register" if path == "login" else "login"
        assert (await client.post(f"/api/auth/{other}", json={})).status_code == 422


async def statuses_from(client: httpx.AsyncClient, addresses: list[str]) -> list[int]:
    return [
        (
            await client.post("/api/auth/login", json={}, headers={"X-Forwarded-For": address})
        ).status_code
        for address in addresses
    ]


@asynccontextmanager
async def behind_proxy(
    database: DatabaseUrls, settings: Settings
) -> AsyncIterator[httpx.AsyncClient]:
    async with limited(
        database,
        settings,
        peer="10.1.2.3",
        trusted_proxies=("10.0.0.0/8",),
        rate_limits=rates(login="2/minute"),
    ) as client:
        yield client


async def test_addresses_of_one_ipv6_network_count_as_one_client(
    database: DatabaseUrls, settings: Settings
) -> None:
    addresses = [f"2001:db8:0:7:{number:x}::1" for number in range(1, 6)]
    async with behind_proxy(database, settings) as client:
        assert await statuses_from(client, addresses) == [422, 422, 429, 429, 429]
        assert await statuses_from(client, ["2001:db8:0:8::1", "192.0.2.1"]) == [422, 422]


@pytest.mark.parametrize(
    ("prefix", "statuses"),
    [(128, [422] * 3), (64, [422] * 3), (56, [422, 422, 429]), (32, [422, 422, 429])],
)
async def test_prefix_decides_which_ipv6_addresses_count_as_one_client(
    database: DatabaseUrls,
    settings: Settings,
    prefix: int,
    statuses: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_PREFIX, prefix)
    addresses = [f"2001:db8:0:{number}::1" for number in (1, 2, 3)]
    async with behind_proxy(database, settings) as client:
        assert await statuses_from(client, addresses) == statuses


@pytest.mark.parametrize(
    "spellings",
    [
        ["192.0.2.7", "::ffff:192.0.2.7", "::FFFF:C000:207", "[::ffff:192.0.2.7]:443"],
        ["fe80::1%eth0", "fe80::1%eth1", "fe80::1", "fe80:0:0::1%25eth0"],
        ["2001:db8::1", "2001:DB8:0::1", "2001:0db8::0001", "[2001:db8::1]"],
    ],
    ids=["IPv4 in IPv6", "zone ids", "spellings"],
)
async def test_one_address_in_several_spellings_counts_once(
    database: DatabaseUrls,
    settings: Settings,
    spellings: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_PREFIX, 128)
    async with behind_proxy(database, settings) as client:
        assert await statuses_from(client, spellings) == [422, 422, 429, 429]


async def test_ipv4_addresses_count_whole_however_they_are_written(
    database: DatabaseUrls, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_PREFIX, 32)
    addresses = [f"::ffff:192.0.2.{number}" for number in range(1, 5)]
    async with behind_proxy(database, settings) as client:
        assert await statuses_from(client, addresses) == [422] * 4


async def test_peers_of_one_ipv6_network_count_as_one_client(
    database: DatabaseUrls, settings: Settings
) -> None:
    async with limited(
        database, settings, peer="fe80::1%eth0", rate_limits=rates(login="2/minute")
    ) as client:
        assert await statuses_from(client, ["192.0.2.1"] * 3) == [422, 422, 429]


async def test_one_accounts_password_is_not_guessed_from_many_addresses(
    database: DatabaseUrls, settings: Settings
) -> None:
    async with limited(database, settings, rate_limits=rates(account="2/minute")) as client:
        bodies = [LOGIN, {**LOGIN, "email": "ADA@example.com"}, LOGIN]
        answers = [await client.post("/api/auth/login", json=body) for body in bodies]
        assert [answer.status_code for answer in answers] == [503, 503, 429]
        other = {**LOGIN, "email": "bob@example.com"}
        assert (await client.post("/api/auth/login", json=other)).status_code == 503


async def test_defaults_are_five_sign_ins_and_six_hundred_requests_a_minute() -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    limits, five = defaults["rate_limits"], parse_limit("5/minute")
    assert limits["login"] == limits["register"] == five
    assert limits["tasks"] == parse_limit("600/minute")
    assert defaults["rate_limit_storage"] is None
