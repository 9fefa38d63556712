"""A stream lives no longer than its token, its client and its process."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from better_auth_keys import Signer, VerificationPolicy
from scripts.proofs.in_process import running
from service.app import create_app
from service.database.execution import Database
from service.database.url import parse_database_url
from service.events import stream as event_stream
from service.http.connections import protocol as http_protocol
from service.http.front import Front
from service.security.rate_limits import Allowance, Kind, RateLimits
from service.security.revocations import Revocations
from service.services import Services
from service.settings.model import Settings
from tests.conftest import DatabaseUrls
from tests.service.conftest import ORIGIN, Person
from tests.service.events.reading import PATH, live, opened
from tests.service.wire import serving


@asynccontextmanager
async def served(settings: Settings, **changes: object) -> AsyncIterator[tuple[int, Services]]:
    """Serve the application. Yields the port and the parts of the service."""
    app = create_app(settings.model_copy(update=changes))
    assert isinstance(app, Front)
    async with serving(app) as port:
        yield port, app._services


@asynccontextmanager
async def revocations(url: str) -> AsyncIterator[Revocations]:
    pool = Database(parse_database_url(url), pool_size=1)
    yield Revocations(pool, VerificationPolicy(ORIGIN, ORIGIN))
    await pool.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


def streams_of(services: Services) -> int:
    assert services.events is not None
    return services.events.streams


async def test_row68_stream_of_an_expired_token_ends(
    settings: Settings, headers_of: Person
) -> None:
    # A request with this token is still accepted, because clocks differ.
    now = int(time.time())
    expiring = headers_of(f"alice-{uuid4()}", iat=now - 60, exp=now - 1)
    async with served(settings) as (port, services), opened(port, expiring) as stream:
        assert await stream.next() == ("end", {"reason": "token_expired"})
        assert (await stream.rest()).endswith(b"0\r\n\r\n")
        assert streams_of(services) == 0


@pytest.mark.parametrize("kind", ["session", "subject"])
async def test_row68_revocation_ends_its_streams_within_a_second_and_no_others(
    settings: Settings,
    database: DatabaseUrls,
    headers_of: Person,
    kind: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    alice, session = f"alice-{uuid4()}", str(uuid4())
    value = session if kind == "session" else alice
    revoked = headers_of(alice, sid=session)
    kept = headers_of(alice, sid="another") if kind == "session" else headers_of(f"bob-{uuid4()}")
    async with (
        served(settings) as (port, services),
        revocations(database.app) as stored,
        live(port, revoked) as one,
        live(port, revoked) as two,
        live(port, kept) as other,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as api,
    ):
        assert kind in {"session", "subject"}
        await stored.add("session" if kind == "session" else "subject", value, "a test")
        async with asyncio.timeout(1):
            for stream in (one, two):
                assert await stream.next() == ("end", {"reason": "token_revoked"})
        assert streams_of(services) == 1
        made = await api.post("/api/tasks", headers=kept, json={"title": "x"})
        assert await other.next() == ("task", {"id": made.json()["id"], "version": 1})
        assert (await api.get(PATH, headers=revoked)).status_code == 401
    assert caplog.text.count('"reason": "revoked"') >= 2
    assert caplog.text.count("stream of events ended: token_revoked after") == 2


async def test_row68_revoked_key_ends_all_its_streams(
    settings: Settings, issuer_database: DatabaseUrls, headers_of: Person
) -> None:
    url = parse_database_url(issuer_database.app)
    async with served(settings, database_url=url) as (port, services):
        kid = services.key_set.status().kids[0]
        async with live(port, headers_of("alice")) as one, live(port, headers_of("bob")) as two:
            connection = await asyncpg.connect(issuer_database.auth)
            await connection.execute("INSERT INTO public.revoked_keys (kid) VALUES ($1)", kid)
            await connection.execute("NOTIFY signing_keys")
            await connection.close()
            async with asyncio.timeout(1):
                for stream in (one, two):
                    assert await stream.next() == ("end", {"reason": "token_revoked"})


async def test_row68_streams_end_if_the_issuer_no_longer_serves_their_key(
    settings: Settings, signer: Signer, headers_of: Person, tmp_path: Path
) -> None:
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    async with served(settings, jwks_url=jwks.as_uri()) as (port, services):
        alice = headers_of(f"alice-{uuid4()}")
        async with live(port, alice) as stream:
            jwks.write_text(json.dumps({"keys": [Signer.generate("EdDSA").public_jwk()]}))
            await services.key_set.refresh()
            assert await stream.next() == ("end", {"reason": "token_revoked"})
            async with opened(port, alice) as refused:
                assert refused.status == 401


async def test_row68_streams_end_if_revocations_become_incomplete(
    settings: Settings, alice: httpx.Headers
) -> None:
    async with served(settings) as (port, services), live(port, alice) as stream:
        services.key_watch.revocations.unload()
        services.key_watch._feed.changed()
        assert await stream.next() == ("end", {"reason": "undecided"})


@pytest.mark.parametrize("by", ["close", "half-close", "reset"])
async def test_fault93_client_that_has_left_ends_the_stream(
    settings: Settings, alice: httpx.Headers, by: str
) -> None:
    async with served(settings) as (port, services), live(port, alice) as stream:
        assert streams_of(services) == 1
        if by == "half-close":
            stream.writer.write_eof()
        elif by == "close":
            stream.writer.close()
        else:
            stream.writer.transport.abort()
        await until(lambda: streams_of(services) == 0)


async def test_fault93_client_that_has_pipelined_requests_and_left_ends_the_stream(
    settings: Settings, alice: httpx.Headers
) -> None:
    # uvicorn does not read while requests wait.
    following = f"x\r\n\r\nGET {PATH} HTTP/1.1\r\nHost: x\r\nX-Last: y"
    pipelined = httpx.Headers({**alice, "X-Last": following})
    async with served(settings) as (port, services), live(port, pipelined) as stream:
        assert streams_of(services) == 1
        stream.writer.close()
        await until(lambda: streams_of(services) == 0)


async def test_row69_streams_are_bounded_for_each_user_and_in_all(
    settings: Settings, alice: httpx.Headers, bob: httpx.Headers
) -> None:
    bounds = {"max_event_streams": 3, "max_event_streams_per_user": 2}
    async with (
        served(settings, **bounds) as (port, services),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as api,
        live(port, alice),
    ):
        async with live(port, alice):
            refused = await api.get(PATH, headers=alice)
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
            assert int(refused.headers["Retry-After"]) > 0
            # Two of three places are those of this address, and it may have no more.
            full = await api.get(PATH, headers=bob)
            assert (full.status_code, full.json()["code"]) == (503, "overloaded")
        await until(lambda: streams_of(services) == 1)
        async with live(port, alice):
            assert streams_of(services) == 2


async def test_row69_open_stream_is_not_a_request_in_flight(
    settings: Settings, alice: httpx.Headers
) -> None:
    async with served(settings) as (port, services), live(port, alice):
        await until(lambda: services.admission.in_flight == 0)


async def test_heartbeats_arrive_after_the_time_limit_of_other_responses(
    settings: Settings, alice: httpx.Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "ANSWER_SECONDS", 2)
    monkeypatch.setattr(event_stream, "HEARTBEAT_SECONDS", 1.5)
    async with served(settings) as (port, _), live(port, alice) as stream:
        assert [await stream.next() for _ in range(2)] == [("", None)] * 2


async def test_fault94_shutdown_ends_streams_with_a_pause_and_does_not_wait_for_them(
    settings: Settings, alice: httpx.Headers
) -> None:
    async with asyncio.timeout(10):
        async with served(settings) as (port, _):
            reader = live(port, alice)
            stream = await reader.__aenter__()
        # The server has ended.
        assert await stream.next() == ("end", {"reason": "restarting"})
        assert stream.retry is not None
        assert 1_000 <= stream.retry < 5_000
        await reader.__aexit__(None, None, None)


async def test_fault94_streams_end_as_soon_as_draining_begins(
    settings: Settings, alice: httpx.Headers
) -> None:
    async with served(settings) as (port, services), live(port, alice) as stream:
        services.draining._follow_up()
        assert await stream.next() == ("end", {"reason": "restarting"})
        # Other requests are still served.
        async with opened(port, alice) as late:
            assert late.status == 200
            assert await late.next() == ("end", {"reason": "restarting"})


async def test_fault94_stream_whose_request_was_in_flight_at_the_shutdown_ends_at_once(
    settings: Settings, alice: httpx.Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, shut_down = asyncio.Event(), asyncio.Event()
    shutdown, hit = http_protocol.BoundedHttpProtocol.shutdown, RateLimits.hit

    async def hit_late(self: RateLimits, kind: Kind, name: str) -> Allowance:
        arrived.set()
        await shut_down.wait()
        return await hit(self, kind, name)

    def shutdown_first(self: http_protocol.BoundedHttpProtocol) -> None:
        shutdown(self)
        shut_down.set()

    monkeypatch.setattr(RateLimits, "hit", hit_late)
    monkeypatch.setattr(http_protocol.BoundedHttpProtocol, "shutdown", shutdown_first)
    async with served(settings) as (port, _):
        opening = opened(port, alice)
        waiting = asyncio.create_task(opening.__aenter__())
        await arrived.wait()
    stream = await waiting
    events = [await stream.next()]
    while events[-1][0] in {"live", "paused"}:
        events.append(await stream.next())
    assert events[-1] == ("end", {"reason": "restarting"})
    await opening.__aexit__(None, None, None)


async def test_fault95_lost_listener_pauses_streams_until_notifications_arrive_again(
    settings: Settings,
    issuer_database: DatabaseUrls,
    alice: httpx.Headers,
    request: pytest.FixtureRequest,
) -> None:
    superuser = request.getfixturevalue("postgres").superuser_url
    url = parse_database_url(issuer_database.app)
    async with served(settings, database_url=url) as (port, _), live(port, alice) as stream:
        connection = await asyncpg.connect(superuser)
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1"
            " AND application_name = 'better-auth-resource-server listening'",
            url.database,
        )
        await connection.close()
        assert await stream.next() == ("paused", {})
        assert await stream.next() == ("live", {})
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as api:
            made = await api.post("/api/tasks", headers=alice, json={"title": "x"})
        assert await stream.next() == ("task", {"id": made.json()["id"], "version": 1})


async def test_fault95_stream_says_that_notifications_do_not_arrive(
    settings: Settings, issuer_database: DatabaseUrls, alice: httpx.Headers
) -> None:
    # What is sent through DATABASE_URL does not arrive there, as through a transaction pooler.
    elsewhere = parse_database_url(issuer_database.app)
    async with (
        served(settings, direct_database_url=elsewhere) as (port, _),
        opened(port, alice) as stream,
    ):
        assert await stream.next() == ("paused", {})


async def test_server_that_cannot_hand_a_connection_over_sends_no_events(
    settings: Settings, alice: httpx.Headers
) -> None:
    async with running(create_app(settings)) as client:
        answer = await client.get(PATH, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (501, "events_unsupported")
