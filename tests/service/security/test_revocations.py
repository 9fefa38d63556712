"""How long a revocation is kept: as long as the revoked session could get access tokens."""

import json
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest

from better_auth_keys import Signer, VerificationPolicy
from better_auth_keys.revocation_feed import PART, Part
from scripts.proofs.in_process import running
from service.app import create_app
from service.database.execution import Database
from service.database.url import parse_database_url
from service.security.revocations import Revocations
from tests.conftest import DatabaseUrls
from tests.service.conftest import ORIGIN, Person, settings_for
from tests.simulators.jwks_table import connected

POLICY = VerificationPolicy(frozenset({ORIGIN}), frozenset({ORIGIN}))
ADD = """
INSERT INTO public.token_revocations
    (at, refused_at, kind, value, operator, reason, session_lifetime)
VALUES (now() - $1::interval, now() - $2::interval, $3, $4, 'x', 'x', $5)
"""
DAY = timedelta(days=1)
PLUGIN = Path(__file__).resolve().parents[3] / "web/lib/revoked-sessions.ts"
SHORTENING = (
    "UPDATE public.token_revocations SET at = now() - interval '1 year'",
    "UPDATE public.token_revocations SET session_lifetime = '1 day'",
    "UPDATE public.token_revocations SET value = 'y'",
    "DELETE FROM public.token_revocations",
)


async def add(
    url: str,
    value: str,
    at: timedelta,
    refused: timedelta | None = None,
    kind: str = "session",
    lifetime: timedelta = 7 * DAY,
) -> None:
    async with connected(url) as connection:
        await connection.execute(ADD, at, refused, kind, value, lifetime)


async def values(parts: AsyncIterator[Part]) -> list[str]:
    return [value async for part in parts for _, found, _ in part for value in found]


async def loaded(url: str, part: int = PART) -> list[str]:
    database = Database(parse_database_url(url), pool_size=1)
    try:
        return await values(Revocations(database, POLICY, part=part).all())
    finally:
        await database.close()


KEPT: dict[str, tuple[timedelta, timedelta | None, str, timedelta, bool]] = {
    "session, ended just now": (timedelta(0), None, "session", 7 * DAY, True),
    "session, a lifetime and a token ago": (7.9 * DAY, None, "session", 7 * DAY, True),
    "session, past that": (8.2 * DAY, None, "session", 7 * DAY, False),
    "session, past that, that tried again": (90 * DAY, 7.9 * DAY, "session", 7 * DAY, True),
    "session that tried again, past that": (90 * DAY, 8.2 * DAY, "session", 7 * DAY, False),
    "session of a longer lifetime": (30 * DAY, None, "session", 30 * DAY, True),
    "subject, whose tokens live": (0.9 * DAY, None, "subject", 7 * DAY, True),
    "subject, whose tokens have expired": (1.2 * DAY, None, "subject", 7 * DAY, False),
}


@pytest.mark.parametrize("case", KEPT)
async def test_revocation_is_held_as_long_as_it_can_meet_a_token(
    case: str, issuer_database: DatabaseUrls, superuser: str
) -> None:
    at, refused, kind, lifetime, held = KEPT[case]
    await add(superuser, "x", at, refused, kind, lifetime)
    assert (await loaded(issuer_database.app) == ["x"]) is held


async def test_parts_have_every_revocation_once(
    issuer_database: DatabaseUrls, superuser: str
) -> None:
    names = [f"s-{n}" for n in range(5)]
    for name in names[:4]:
        await add(superuser, name, 1 * DAY)
    await add(superuser, "expired", 90 * DAY)
    await add(superuser, names[4], 0.5 * DAY, kind="subject")
    for part in (1, 2, 3, 5, 9):
        assert sorted(await loaded(issuer_database.app, part)) == names


async def test_news_are_what_was_added_since(issuer_database: DatabaseUrls, superuser: str) -> None:
    database = Database(parse_database_url(issuer_database.app), pool_size=1)
    try:
        stored = Revocations(database, POLICY)
        await add(superuser, "before", 1 * DAY)
        assert await values(stored.all()) == ["before"]
        # Old by its time, but still new to this process.
        await add(superuser, "late", 2 * DAY)
        assert await values(stored.news()) == ["late"]
        assert await values(stored.news()) == []
        await add(superuser, "now", timedelta(0))
        assert await values(stored.news()) == ["now"]
        assert await values(stored.news()) == []
    finally:
        await database.close()


@pytest.mark.parametrize("loaded_while_open", [False, True], ids=["before", "while it is open"])
async def test_revocation_that_commits_after_a_later_one_is_news(
    *, loaded_while_open: bool, issuer_database: DatabaseUrls, superuser: str
) -> None:
    """Its id is smaller and its time is earlier than what was read before."""
    database = Database(parse_database_url(issuer_database.app), pool_size=1)
    slow = await asyncpg.connect(superuser)
    try:
        stored = Revocations(database, POLICY)
        if not loaded_while_open:
            assert await values(stored.all()) == []
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(
            "INSERT INTO public.token_revocations (kind, value, operator, reason)"
            " VALUES ('subject', 'slow', 'test', 'test')"
        )
        await add(superuser, "quick", timedelta(0))
        if loaded_while_open:
            assert await values(stored.all()) == ["quick"]
        assert await values(stored.news()) == ["quick"]
        assert await values(stored.news()) == []
        await transaction.commit()
        assert await values(stored.news()) == ["slow"]
        assert await values(stored.news()) == []
    finally:
        await slow.close()
        await database.close()


async def test_revocation_of_a_transaction_that_lasts_for_long_is_news_when_it_commits(
    issuer_database: DatabaseUrls, superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("unseen_ids", "stored"):
        monkeypatch.setattr(f"better_auth_keys.revocation_feed.{module}.SETTLE_SECONDS", 0)
    database = Database(parse_database_url(issuer_database.app), pool_size=1)
    slow = await asyncpg.connect(superuser)
    try:
        stored = Revocations(database, POLICY)
        assert await values(stored.all()) == []
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(
            "INSERT INTO public.token_revocations (kind, value, operator, reason)"
            " VALUES ('subject', 'slow', 'test', 'test')"
        )
        await add(superuser, "quick", timedelta(0))
        assert await values(stored.news()) == ["quick"]
        for _ in range(3):
            assert await values(stored.news()) == []
        # A reload does not see it, and does not forget that its id was passed over.
        assert await values(stored.all()) == ["quick"]
        assert await values(stored.news()) == ["quick"]
        for _ in range(3):
            assert await values(stored.news()) == []
        await transaction.commit()
        assert await values(stored.news()) == ["slow"]
        assert await values(stored.news()) == []
    finally:
        await slow.close()
        await database.close()


async def test_news_of_a_database_that_uses_its_ids_again_are_found_after_a_reload(
    issuer_database: DatabaseUrls, superuser: str
) -> None:
    database = Database(parse_database_url(issuer_database.app), pool_size=1)
    try:
        stored = Revocations(database, POLICY)
        for value in ("a", "b", "c"):
            await add(superuser, value, timedelta(0))
        assert await values(stored.all()) == ["a", "b", "c"]
        assert await values(stored.news()) == ["a", "b", "c"]
        async with connected(superuser) as connection:
            await connection.execute("TRUNCATE public.token_revocations RESTART IDENTITY")
        assert await values(stored.all()) == []
        await add(superuser, "restored", timedelta(0))
        assert await values(stored.news()) == ["restored"]
    finally:
        await database.close()


async def test_news_are_returned_in_parts(issuer_database: DatabaseUrls, superuser: str) -> None:
    database = Database(parse_database_url(issuer_database.app), pool_size=1)
    try:
        stored = Revocations(database, POLICY, part=2)
        assert await values(stored.all()) == []
        for value in ("a", "b", "c", "d", "e"):
            await add(superuser, value, timedelta(0))
        found = [names async for part in stored.news() for _, names, _ in part]
        assert found == [["a", "b"], ["c", "d"], ["e"]]
        assert await values(stored.news()) == []
    finally:
        await database.close()


async def test_news_are_found_by_the_index_of_the_ids(superuser: str) -> None:
    connection = await asyncpg.connect(superuser)
    try:
        await connection.execute(
            "INSERT INTO public.token_revocations (kind, value, operator, reason)"
            " SELECT 'session', 's' || n, 'test', 'test' FROM generate_series(1, 20000) AS n"
        )
        await connection.execute("ANALYZE public.token_revocations")
        plan = await connection.fetch(
            "EXPLAIN SELECT id FROM unnest($1::bigint[], $2::bigint[]) AS unseen (first, last)"
            " CROSS JOIN LATERAL (SELECT * FROM public.token_revocations"
            " WHERE id BETWEEN first AND last ORDER BY id LIMIT 2000) AS news"
            " ORDER BY id LIMIT 2000",
            [17, 20_001],
            [18, 2**63 - 1],
        )
        assert "token_revocations_pkey" in "".join(row[0] for row in plan)
    finally:
        await connection.close()


async def test_session_stays_refused_and_every_refusal_prolongs_that(
    issuer_database: DatabaseUrls,
    superuser: str,
    signer: Signer,
    headers_of: Person,
    tmp_path: Path,
) -> None:
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    app = create_app(settings_for(issuer_database.app, jwks_url=jwks.as_uri()))
    await add(superuser, "ended", 5 * DAY)
    await add(superuser, "quiet", 5 * DAY)
    # A new token of a session that the issuer has not ended.
    user = headers_of("alice", sid="ended")
    async with running(app) as client:
        for _ in range(2):
            assert (await client.get("/api/auth/me", headers=user)).status_code == 401
    # At the latest when the process stops.
    async with connected(superuser) as connection:
        rows = await connection.fetch(
            "SELECT value, refused_at > now() - interval '1 minute' AS lately"
            " FROM public.token_revocations ORDER BY value"
        )
    assert [tuple(row) for row in rows] == [("ended", True), ("quiet", None)]


async def test_logout_writes_down_how_long_its_session_could_live(
    issuer_database: DatabaseUrls, signer: Signer, headers_of: Person, tmp_path: Path
) -> None:
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    for lifetime in (30 * DAY, timedelta(hours=1)):
        settings = settings_for(
            issuer_database.app, jwks_url=jwks.as_uri(), session_lifetime=lifetime
        )
        async with running(create_app(settings)) as client:
            sid = f"s-{lifetime.days}-{time.monotonic()}"
            answer = await client.post("/api/auth/logout", headers=headers_of("alice", sid=sid))
            assert answer.status_code == 204
    async with connected(issuer_database.app) as connection:
        rows = await connection.fetch(
            "SELECT session_lifetime FROM public.token_revocations ORDER BY id"
        )
    # Better Auth's sessions without "remember me" live for a day, whatever the setting is.
    assert [row[0] for row in rows] == [30 * DAY, DAY]


async def test_service_cannot_shorten_what_an_operator_revoked(
    issuer_database: DatabaseUrls, superuser: str
) -> None:
    await add(superuser, "x", timedelta(0))
    async with connected(issuer_database.app) as connection:
        for statement in SHORTENING:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.execute("UPDATE public.token_revocations SET refused_at = 'epoch'")
    assert await loaded(issuer_database.app) == ["x"]


async def test_lookup_of_sessions_by_web_uses_an_index(superuser: str) -> None:
    query = re.search(r"const REVOKED = `(.*?)`", PLUGIN.read_text(), re.DOTALL)
    assert query is not None
    async with connected(superuser) as connection:
        await connection.execute(
            "INSERT INTO public.token_revocations (kind, value, operator, reason)"
            " SELECT 'session', n::text, 'x', 'x' FROM generate_series(1, 20000) AS n"
        )
        await connection.execute("ANALYZE public.token_revocations")
        began = datetime.now(UTC) - 7 * DAY
        plan = await connection.fetch(f"EXPLAIN {query[1]}", ["s-1"], ["u-1"], [began])
        (found,) = await connection.fetch(query[1], ["7", "x"], ["u-1", "u-2"], [began, began])
    assert str(plan).count("token_revocations_value") == 2
    assert "Seq Scan" not in str(plan)
    assert found["id"] == "7"


async def test_ended_session_is_refused_by_a_service_that_starts_days_later(
    issuer_database: DatabaseUrls,
    superuser: str,
    signer: Signer,
    headers_of: Person,
    tmp_path: Path,
) -> None:
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    settings = settings_for(issuer_database.app, jwks_url=jwks.as_uri())
    user = headers_of("alice", sid="s-1")

    async def status(client: httpx.AsyncClient) -> int:
        return (await client.get("/api/auth/me", headers=user)).status_code

    async with running(create_app(settings)) as client:
        assert await status(client) == 200
        assert (await client.post("/api/auth/logout", headers=user)).status_code == 204
        assert await status(client) == 401
    async with connected(superuser) as connection:
        await connection.execute("UPDATE public.token_revocations SET at = at - interval '2 days'")
    async with running(create_app(settings)) as client:
        assert await status(client) == 401
