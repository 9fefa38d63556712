"""Operators' changes to keys reach every process: at once, or at the next poll."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import httpx
import pytest
from sqlalchemy.engine import make_url

from better_auth_keys import (
    AccessToken,
    InvalidTokenError,
    Signer,
    StaticKeySet,
    VerificationPolicy,
)
from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from better_auth_keys.rotation.better_auth.store import BetterAuthSigningKeys, Replica
from better_auth_keys.testing import Gate, HttpIssuer, Reply
from scripts.proofs.in_process import running
from service.app import create_app
from service.database.execution import Database
from service.database.url import parse_database_url
from service.security.audit import SecurityLog
from service.security.key_watch import KeyWatch
from tests.conftest import DatabaseUrls
from tests.service.conftest import ORIGIN, Person, settings_for
from tests.simulators.jwks_table import SECRET, connected, reach
from tests.simulators.pooler import needs_pgbouncer, pooled
from tests.simulators.postgres_proxy import postgres_proxy

ME = "/api/auth/me"
END_SESSION = """
INSERT INTO public.token_revocations (kind, value, operator, reason)
VALUES ('session', $1, 'tests', 'a test')
"""


@pytest.fixture
async def server(signer: Signer) -> AsyncIterator[HttpIssuer]:
    async with HttpIssuer(signer) as running_server:
        yield running_server


def store_of(database: DatabaseUrls) -> BetterAuthSigningKeys:
    return BetterAuthSigningKeys(
        reach(database.auth), secrets=IssuerSecrets(SECRET), algorithm="EdDSA", operator="tests"
    )


async def revoke(database: DatabaseUrls, kid: str) -> None:
    async with store_of(database).changing("a test") as transaction:
        await transaction.revoke(kid)


async def replicas(database: DatabaseUrls) -> list[Replica]:
    return await store_of(database).replicas()


async def answer(client: httpx.AsyncClient, headers: httpx.Headers) -> int:
    return (await client.get(ME, headers=headers)).status_code


async def until(client: httpx.AsyncClient, headers: httpx.Headers, status: int) -> None:
    while await answer(client, headers) != status:  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(0)  # it only gives way to other tasks


async def until_listening(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(10):
        while not (await client.get("/readyz")).json()["keys"]["listening"]:
            pass


async def until_true(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the event happens in another process
            await asyncio.sleep(0.005)


@asynccontextmanager
async def services(
    database: DatabaseUrls, server: HttpIssuer, count: int
) -> AsyncIterator[list[httpx.AsyncClient]]:
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(count):
            app = create_app(settings_for(database.app, jwks_url=server.jwks_url))
            clients.append(await stack.enter_async_context(running(app)))
        for client in clients:
            await until_listening(client)
        yield clients


@pytest.mark.parametrize("reply", ["served", "unreachable"])
async def test_row41_fault61_tokens_of_a_revoked_key_are_refused_everywhere_within_a_second(
    issuer_database: DatabaseUrls,
    server: HttpIssuer,
    signer: Signer,
    headers_of: Person,
    reply: str,
) -> None:
    async with services(issuer_database, server, 2) as clients:
        stolen = headers_of("alice")
        for client in clients:
            # Twice: the second time it comes from the cache of verified tokens.
            assert [await answer(client, stolen) for _ in range(2)] == [200, 200]
        if reply == "unreachable":
            server.reply = Reply(status=500)
        await revoke(issuer_database, signer.kid)
        async with asyncio.timeout(1):
            await asyncio.gather(*(until(client, stolen, 401) for client in clients))
        # A token that was never seen is refused too.
        assert await answer(clients[0], headers_of("bob")) == 401


@needs_pgbouncer
async def test_fault17_behind_a_transaction_pooler_changes_are_heard_over_the_direct_connection(
    issuer_database: DatabaseUrls, server: HttpIssuer, signer: Signer, headers_of: Person
) -> None:
    with pooled(issuer_database.app, connections=2) as through:
        settings = settings_for(
            f"{through}?prepared_statement_cache_size=0",
            direct_database_url=issuer_database.app,
            jwks_url=server.jwks_url,
        )
        async with running(create_app(settings)) as client:
            await until_listening(client)
            stolen = headers_of("alice")
            made = await client.post("/api/tasks", headers=stolen, json={"title": "Kept"})
            assert made.status_code == 201
            await revoke(issuer_database, signer.kid)
            async with asyncio.timeout(1):
                await until(client, stolen, 401)


async def test_row41_fetch_that_hangs_keeps_nobody_from_hearing_of_a_revoked_key(
    issuer_database: DatabaseUrls, server: HttpIssuer, signer: Signer, headers_of: Person
) -> None:
    async with services(issuer_database, server, 1) as (client,):
        stolen = headers_of("alice")
        assert await answer(client, stolen) == 200
        server.reply = Reply(gate=Gate())
        asked = len(server.requests)
        async with store_of(issuer_database).changing("a test") as transaction:
            await transaction.publish(Signer.generate())
        await until_true(lambda: len(server.requests) > asked)
        await revoke(issuer_database, signer.kid)
        async with asyncio.timeout(1):
            await until(client, stolen, 401)


async def test_change_of_the_keys_is_fetched_at_once_and_reported(
    issuer_database: DatabaseUrls, server: HttpIssuer, signer: Signer, headers_of: Person
) -> None:
    async with services(issuer_database, server, 2) as clients:
        taken, fresh = headers_of("alice"), Signer.generate()
        assert await answer(clients[0], taken) == 200
        server.publish(fresh)
        async with store_of(issuer_database).changing("a test") as transaction:
            await transaction.publish(Signer.generate())
        async with asyncio.timeout(10):
            while [v.kids for v in await replicas(issuer_database)] != [{fresh.kid}] * 2:
                pass
        # It is removed with its key, also from the cache of verified tokens.
        assert await answer(clients[0], taken) == 401
        ready = (await clients[0].get("/readyz")).json()["keys"]
        assert ready["kids"] == [fresh.kid]
        assert ready["age"] < 10
        assert ready["revocations_age"] < 10
        found = await replicas(issuer_database)
        assert all(v.listening and v.algorithms == {"EdDSA", "RS256"} for v in found)
        assert signer.kid not in found[0].kids
    assert await replicas(issuer_database) == [], "who has stopped is no replica any more"


async def listening_pids(database: DatabaseUrls, superuser_url: str) -> list[int]:
    name = make_url(database.app).database
    async with connected(superuser_url) as connection:
        rows = await connection.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = $1"
            " AND application_name = 'better-auth-resource-server listening'",
            name,
        )
    return [row["pid"] for row in rows]


async def test_lost_connection_comes_back_and_misses_nothing(
    issuer_database: DatabaseUrls,
    server: HttpIssuer,
    signer: Signer,
    headers_of: Person,
    request: pytest.FixtureRequest,
) -> None:
    superuser = request.getfixturevalue("postgres").superuser_url
    async with services(issuer_database, server, 1) as (client,):
        user = headers_of("alice")
        assert await answer(client, user) == 200
        (pid,) = await listening_pids(issuer_database, superuser)
        async with connected(superuser) as connection:
            await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
        # Sent while the service is not listening; found when it reconnects.
        await revoke(issuer_database, signer.kid)
        async with asyncio.timeout(10):
            await until(client, user, 401)
        await until_listening(client)
        assert await listening_pids(issuer_database, superuser) != [pid]


@asynccontextmanager
async def watching(
    database: DatabaseUrls, direct_url: str, *, look_seconds: float, heartbeat_seconds: float = 5
) -> AsyncIterator[KeyWatch]:
    pool = Database(parse_database_url(database.app), pool_size=1)
    watch = KeyWatch(
        pool,
        parse_database_url(direct_url),
        StaticKeySet(()),
        policy=VerificationPolicy(ORIGIN, ORIGIN),
        security=SecurityLog(b"k" * 32),
        heartbeat_seconds=heartbeat_seconds,
        look_seconds=look_seconds,
    )
    await watch.start(reachable=True)
    try:
        yield watch
    finally:
        await watch.stop()
        await pool.close()


def is_revoked(watch: KeyWatch, kid: str) -> bool:
    try:
        watch.revocations.check_key(kid)
    except Exception:  # noqa: BLE001 - another test checks which error it is
        return True
    return False


def ended(watch: KeyWatch, session: str) -> bool:
    token = AccessToken("i", "alice", frozenset(), 0, 0, 9e9, "k", None, {"sid": session})
    try:
        watch.revocations.check_token(token)
    except InvalidTokenError:
        return True
    return False


async def test_revocation_with_an_id_that_was_seen_is_found_after_another_server_took_over(
    issuer_database: DatabaseUrls, superuser: str
) -> None:
    async with watching(issuer_database, issuer_database.app, look_seconds=60) as watch:
        async with connected(superuser) as connection:
            await until_true(lambda: watch.listening)
            await connection.execute(END_SESSION, "seen here")
            await connection.execute("NOTIFY token_revocations")
            await until_true(lambda: len(watch.revocations) == 1)
            # What a server has that took over without the last transactions of the old one.
            await connection.execute("TRUNCATE public.token_revocations RESTART IDENTITY")
            await connection.execute(END_SESSION, "ended there")
        (pid,) = await listening_pids(issuer_database, superuser)
        async with connected(superuser) as connection:
            await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
        await until_true(lambda: ended(watch, "ended there"))


async def test_row41_revoked_key_is_found_by_looking_when_nobody_is_listening(
    issuer_database: DatabaseUrls, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "security")
    nowhere = make_url(issuer_database.app).set(host="127.0.0.1", port=1)
    async with watching(
        issuer_database, nowhere.render_as_string(hide_password=False), look_seconds=0.05
    ) as watch:
        assert not watch.listening
        assert not is_revoked(watch, "stolen")
        await revoke(issuer_database, "stolen")
        await until_true(lambda: is_revoked(watch, "stolen"))
        assert '"event": "authn_token_revoked"' in caplog.text


async def test_fault86_connection_that_is_cut_silently_is_noticed_and_revocations_are_looked_for(
    issuer_database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.database.listener.ANSWER_SECONDS", 0.3)
    url = make_url(issuer_database.app)
    async with postgres_proxy(str(url.host), url.port or 0) as proxy:
        direct = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        async with watching(
            issuer_database, direct, look_seconds=60, heartbeat_seconds=0.05
        ) as watch:
            await until_true(lambda: watch.listening)
            proxy.hang()
            # Its notification does not arrive, and nothing is looked for within a minute.
            await revoke(issuer_database, "stolen")
            await until_true(lambda: is_revoked(watch, "stolen"))
            assert not watch.listening
            # Likewise for as long as the connection is not back.
            await revoke(issuer_database, "another")
            await until_true(lambda: is_revoked(watch, "another"))
            assert not watch.listening


@needs_pgbouncer
async def test_fault86_process_that_hears_nothing_through_a_pooler_never_reports_that_it_listens(
    issuer_database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.database.listener.ANSWER_SECONDS", 0.3)
    with pooled(issuer_database.app, connections=2) as through:
        async with watching(
            issuer_database, through, look_seconds=60, heartbeat_seconds=0.05
        ) as watch:
            said = "a NOTIFY sent through DATABASE_URL did not arrive within 0.3 s"
            while said not in caplog.text:
                assert not watch.listening
                await asyncio.sleep(0.005)
            assert not watch.listening
            await revoke(issuer_database, "stolen")
            await until_true(lambda: is_revoked(watch, "stolen"))


async def test_revoked_keys_stay_known_while_they_cannot_be_looked_up(
    issuer_database: DatabaseUrls, caplog: pytest.LogCaptureFixture
) -> None:
    await revoke(issuer_database, "stolen")
    async with watching(issuer_database, issuer_database.app, look_seconds=0.05) as watch:
        async with connected(issuer_database.owner) as connection:
            await connection.execute("ALTER TABLE public.revoked_keys RENAME TO gone")
        await until_true(lambda: "may miss new revocations" in caplog.text)
        assert is_revoked(watch, "stolen")
        assert not is_revoked(watch, "another")


FORBIDDEN = {
    "app": [
        "SELECT * FROM public.signing_key_events",
        "INSERT INTO public.revoked_keys (kid) VALUES ('x')",
        "DELETE FROM public.revoked_keys",
        "UPDATE public.service_replicas SET name = 'x'",
    ],
    "auth": [
        "UPDATE public.signing_key_events SET reason = 'x'",
        "DELETE FROM public.signing_key_events",
        "TRUNCATE public.signing_key_events",
        "INSERT INTO public.signing_key_events (at, operator) VALUES (now(), 'x')",
        "DELETE FROM public.revoked_keys",
        "UPDATE public.revoked_keys SET kid = 'x'",
        "INSERT INTO public.service_replicas VALUES ('x', '{}', '{}', true)",
        "SELECT * FROM public.tasks",
    ],
}


@pytest.mark.parametrize("role", FORBIDDEN)
async def test_nobody_can_take_back_what_was_written_down(
    issuer_database: DatabaseUrls, role: str
) -> None:
    async with connected(getattr(issuer_database, role)) as connection:
        for statement in FORBIDDEN[role]:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)


async def test_replica_that_is_silent_is_none(issuer_database: DatabaseUrls) -> None:
    async with connected(issuer_database.app) as connection:
        await connection.execute(
            "INSERT INTO public.service_replicas VALUES ('gone', '{}', '{}', true,"
            " now() - interval '91 s'), ('there', '{}', '{}', true, now() - interval '60 s')"
        )
    assert [found.name for found in await replicas(issuer_database)] == ["there"]
