"""`RevocationFeed` on a real PostgreSQL: what operators' commands write is refused at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    Reason,
    RevocationsUnavailableError,
    Signer,
)
from better_auth_keys.revocation_feed import RevocationFeed
from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from better_auth_keys.rotation.better_auth.store import BetterAuthSigningKeys
from scripts.operations import revoke_tokens
from tests.conftest import DatabaseUrls, PostgresServer
from tests.keys.signed_tokens import POLICY, claims, key_set_of
from tests.simulators.jwks_table import SECRET, connected, reach
from tests.simulators.pooler import needs_pgbouncer, pooled
from tests.simulators.postgres_proxy import PostgresProxy, postgres_proxy

ACCEPTED = "accepted"
UNAVAILABLE = RevocationsUnavailableError.code
HOUR = 3600.0


@pytest.fixture
def reader(issuer_database: DatabaseUrls) -> str:
    return issuer_database.revocations_reader


@pytest.fixture
def superuser(postgres: PostgresServer, issuer_database: DatabaseUrls) -> str:
    name = make_url(issuer_database.app).database
    url = make_url(postgres.superuser_url).set(database=name)
    return url.render_as_string(hide_password=False)


def feed_of(url: str, *, polls: float = HOUR, max_age: float | None = None) -> RevocationFeed:
    return RevocationFeed(url, poll_seconds=polls, heartbeat_seconds=min(polls, 5), max_age=max_age)


def verifier_of(feed: RevocationFeed, signer: Signer) -> AccessTokenVerifier:
    return AccessTokenVerifier(key_set_of(signer), POLICY, revocations=feed.revocations)


def token_of(signer: Signer, **changes: object) -> str:
    now = int(time.time())
    return signer.mint(claims(**{"iat": now - 10, "exp": now + 890, **changes}))


@asynccontextmanager
async def through_proxy(url: str) -> AsyncIterator[tuple[PostgresProxy, str]]:
    """A proxy in front of the database, and the URL that leads through it."""
    where = make_url(url)
    async with postgres_proxy(str(where.host), where.port or 0) as proxy:
        through = where.set(host="127.0.0.1", port=proxy.port)
        yield proxy, through.render_as_string(hide_password=False)


async def revoke_key(database: DatabaseUrls, kid: str) -> None:
    """Do what `rotate-keys revoke` does."""
    store = BetterAuthSigningKeys(
        reach(database.auth), secrets=IssuerSecrets(SECRET), algorithm="EdDSA", operator="tests"
    )
    async with store.changing("a test") as transaction:
        await transaction.revoke(kid)


async def add_key(database: DatabaseUrls, kid: str) -> None:
    """Revoke a key without a notification."""
    async with connected(database.auth) as connection:
        await connection.execute("INSERT INTO public.revoked_keys (kid) VALUES ($1)", kid)


async def judged(verifier: AccessTokenVerifier, token: str) -> str:
    try:
        await verifier.verify(token)
    except RevocationsUnavailableError as error:
        return error.code
    except InvalidTokenError as error:
        return error.reason
    return ACCEPTED


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the event happens on another connection
            await asyncio.sleep(0.005)


async def until_judged(
    verifier: AccessTokenVerifier, token: str, outcome: str, *, seconds: float = 10
) -> None:
    async with asyncio.timeout(seconds):
        while await judged(verifier, token) != outcome:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)


async def test_row41_key_revoked_by_rotate_keys_is_refused_within_a_second(
    issuer_database: DatabaseUrls, reader: str, signer: Signer
) -> None:
    async with feed_of(reader) as feed:
        await until(lambda: feed.listening)
        verifier, token = verifier_of(feed, signer), token_of(signer)
        assert await judged(verifier, token) == ACCEPTED
        await revoke_key(issuer_database, signer.kid)
        await until_judged(verifier, token, Reason.REVOKED_KEY, seconds=1)


async def test_tokens_revoked_by_revoke_tokens_are_refused_within_a_second(
    issuer_database: DatabaseUrls,
    reader: str,
    signer: Signer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTH_DATABASE_URL", issuer_database.auth)
    async with connected(issuer_database.auth) as connection:
        await connection.execute('CREATE TABLE session (id text, "userId" text)')
    ended, banned = token_of(signer, sid="ended"), token_of(signer, sub="mallory")
    other = token_of(signer, sid="another")
    async with feed_of(reader) as feed:
        await until(lambda: feed.listening)
        verifier = verifier_of(feed, signer)
        for token in (ended, banned, other):
            assert await judged(verifier, token) == ACCEPTED
        for what, value, token in (("session", "ended", ended), ("subject", "mallory", banned)):
            arguments = [f"--{what}", value, "--reason", "a test", "--execute"]
            assert await asyncio.to_thread(revoke_tokens.main, arguments) == 0
            await until_judged(verifier, token, Reason.REVOKED, seconds=1)
        assert await judged(verifier, other) == ACCEPTED
        assert len(feed.revocations) == 2


async def test_revocation_without_a_notification_is_found_by_polling(
    issuer_database: DatabaseUrls, reader: str, signer: Signer
) -> None:
    async with feed_of(reader, polls=0.05) as feed:
        await until(lambda: feed.listening)
        verifier, token = verifier_of(feed, signer), token_of(signer)
        assert await judged(verifier, token) == ACCEPTED
        await add_key(issuer_database, signer.kid)
        await until_judged(verifier, token, Reason.REVOKED_KEY)


async def test_connections_that_are_cut_are_opened_again_and_nothing_is_missed(
    issuer_database: DatabaseUrls, reader: str, superuser: str, signer: Signer
) -> None:
    async with feed_of(reader) as feed:
        await until(lambda: feed.listening)
        verifier, token = verifier_of(feed, signer), token_of(signer)
        assert await judged(verifier, token) == ACCEPTED
        async with connected(superuser) as connection:
            ended = await connection.fetch(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = 'revocations_reader'"
            )
        assert len(ended) == 2
        await add_key(issuer_database, signer.kid)
        await until_judged(verifier, token, Reason.REVOKED_KEY)
        await until(lambda: feed.listening)


async def test_row46_feed_without_a_database_refuses_to_judge_and_recovers_by_itself(
    issuer_database: DatabaseUrls, reader: str, signer: Signer, caplog: pytest.LogCaptureFixture
) -> None:
    await add_key(issuer_database, "stolen")
    async with through_proxy(reader) as (proxy, url):
        await proxy.refuse()
        async with feed_of(url) as feed:
            verifier, token = verifier_of(feed, signer), token_of(signer)
            assert await judged(verifier, token) == UNAVAILABLE
            assert (feed.age, feed.listening) == (None, False)
            assert "cannot load the revocations (ConnectionRefusedError)" in caplog.text
            await proxy.accept()
            await until_judged(verifier, token, ACCEPTED)
            await until(lambda: feed.age is not None)
            assert len(feed.revocations) == 1


@pytest.mark.parametrize("max_age", [None, 0.3])
async def test_last_list_is_used_in_an_outage_for_at_most_the_maximum_age(
    issuer_database: DatabaseUrls, reader: str, signer: Signer, max_age: float | None
) -> None:
    await add_key(issuer_database, "stolen")
    async with (
        through_proxy(reader) as (proxy, url),
        feed_of(url, polls=0.05, max_age=max_age) as feed,
    ):
        await until(lambda: feed.listening)
        verifier, token = verifier_of(feed, signer), token_of(signer)
        await proxy.refuse()
        await until(lambda: not feed.listening)
        if max_age is None:
            await until(lambda: (feed.age or 0) > 0.3)
            assert await judged(verifier, token) == ACCEPTED
        else:
            await until_judged(verifier, token, UNAVAILABLE)
        await proxy.accept()
        await until(lambda: feed.listening)
        await until_judged(verifier, token, ACCEPTED)
        assert len(feed.revocations) == 1


async def test_fault86_connection_that_is_cut_silently_is_noticed(
    issuer_database: DatabaseUrls, reader: str, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("better_auth_keys.revocation_feed.listening.ANSWER_SECONDS", 0.3)
    monkeypatch.setattr("better_auth_keys.revocation_feed.connection.SECONDS", 0.5)
    async with (
        through_proxy(reader) as (proxy, url),
        RevocationFeed(url, poll_seconds=HOUR, heartbeat_seconds=0.05) as feed,
    ):
        await until(lambda: feed.listening)
        verifier, token = verifier_of(feed, signer), token_of(signer)
        proxy.silence()
        await until(lambda: not feed.listening)
        await add_key(issuer_database, signer.kid)
        await until_judged(verifier, token, Reason.REVOKED_KEY)
        await until(lambda: feed.listening)


@needs_pgbouncer
async def test_fault86_feed_behind_a_transaction_pooler_polls_and_never_reports_that_it_listens(
    issuer_database: DatabaseUrls,
    signer: Signer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("better_auth_keys.revocation_feed.listening.ANSWER_SECONDS", 0.3)
    # The pooler of the tests is for this role, which may read the tables as well.
    with pooled(issuer_database.app, connections=2) as through:
        async with RevocationFeed(through, poll_seconds=HOUR, heartbeat_seconds=0.05) as feed:
            await until(lambda: "the URL must not lead through a transaction" in caplog.text)
            assert not feed.listening
            verifier, token = verifier_of(feed, signer), token_of(signer)
            assert await judged(verifier, token) == ACCEPTED
            await revoke_key(issuer_database, signer.kid)
            await until_judged(verifier, token, Reason.REVOKED_KEY)
