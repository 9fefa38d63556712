"""`RevocationFeed`: the list is reloaded in parts, and is never used while it is incomplete."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection
from contextlib import suppress
from datetime import timedelta

import pytest

from better_auth_keys import (
    AccessToken,
    InvalidTokenError,
    RevocationKind,
    RevocationsUnavailableError,
    VerificationPolicy,
)
from better_auth_keys.revocation_feed import Part, TooManyRevocationsError
from service.database.execution import Database, DatabaseUnavailableError
from service.database.url import parse_database_url
from service.security.audit import SecurityLog
from service.security.revocation_feed import RevocationFeed
from service.security.revocations import Revocations
from tests.conftest import DatabaseUrls
from tests.service.conftest import ORIGIN
from tests.service.security.test_revocations import ADD, DAY, add
from tests.simulators.jwks_table import connected

NOW = timedelta(0)


async def nothing() -> None:
    """Do nothing between two parts."""


class Interrupted(Revocations):
    """Something happens after the first part of the whole list."""

    meanwhile: Callable[[], Awaitable[None]] = staticmethod(nothing)

    async def all(self) -> AsyncGenerator[Part, None]:
        meanwhile, self.meanwhile = self.meanwhile, nothing
        async for part in super().all():
            yield part
            await meanwhile()
            meanwhile = nothing


@pytest.fixture
async def database(issuer_database: DatabaseUrls) -> AsyncIterator[Database]:
    database = Database(parse_database_url(issuer_database.app), pool_size=1)
    yield database
    await database.close()


@pytest.fixture
def stored(database: Database) -> Interrupted:
    return Interrupted(database, VerificationPolicy(ORIGIN, ORIGIN), part=2)


def feed_of(stored: Revocations, most: int = 100) -> RevocationFeed:
    return RevocationFeed(stored, SecurityLog(b"k" * 32), most=most)


def is_refused(feed: RevocationFeed, session: str) -> bool:
    """Whether a token of the session is refused. Raises the error if it cannot be judged."""
    feed.revocations.check_key("k")
    token = AccessToken("i", "alice", frozenset(), 0, 0, 9e9, "k", None, {"sid": session})
    with suppress(InvalidTokenError):
        feed.revocations.check_token(token)
        return False
    return True


async def expire(superuser: str, *values: str) -> None:
    async with connected(superuser) as connection:
        await connection.execute(
            "UPDATE public.token_revocations SET at = now() - interval '90 days'"
            " WHERE value = ANY($1)",
            values,
        )


async def test_reload_forgets_what_expired_and_keeps_what_was_revoked_meanwhile(
    stored: Interrupted, superuser: str
) -> None:
    feed = feed_of(stored)
    for value in ("a", "b", "c", "d", "e"):
        await add(superuser, value, NOW)
    await feed.look()
    await expire(superuser, "a", "d")

    async def meanwhile() -> None:
        await add(superuser, "news", NOW)
        await feed.load_news()
        feed.revocations.add_many("session", ["here"], [0])
        assert all(is_refused(feed, value) for value in ("a", "b", "c", "d", "e", "news", "here"))

    stored.meanwhile = meanwhile
    await feed.load_all()
    assert {value for value in "abcde" if is_refused(feed, value)} == {"b", "c", "e"}
    assert is_refused(feed, "news")
    assert is_refused(feed, "here")
    assert not is_refused(feed, "another")
    assert len(feed.revocations) == 5


async def test_reload_that_fails_in_the_middle_forgets_nothing(
    stored: Interrupted, superuser: str
) -> None:
    feed = feed_of(stored)
    for value in ("a", "b", "c"):
        await add(superuser, value, NOW)
    await feed.look()

    async def meanwhile() -> None:
        raise DatabaseUnavailableError("gone")

    stored.meanwhile = meanwhile
    with pytest.raises(DatabaseUnavailableError):
        await feed.load_all()
    assert all(is_refused(feed, value) for value in ("a", "b", "c"))
    # What was added is still news.
    await add(superuser, "d", NOW)
    await feed.load_news()
    assert is_refused(feed, "d")


async def test_more_revocations_than_can_be_held_leave_every_token_undecided(
    stored: Interrupted, superuser: str
) -> None:
    feed = feed_of(stored, most=3)
    for value in ("a", "b", "c"):
        await add(superuser, value, NOW)
    await feed.look()
    assert not is_refused(feed, "another")
    await add(superuser, "d", NOW)
    with pytest.raises(TooManyRevocationsError, match="requests get 503; shorten SESSION_LIFETIME"):
        await feed.load_news()
    assert feed.too_many
    for value in ("a", "d", "another"):
        with pytest.raises(RevocationsUnavailableError):
            is_refused(feed, value)
    await expire(superuser, "b")
    await feed.look()
    assert [is_refused(feed, value) for value in ("a", "b", "c", "d")] == [True, False, True, True]


async def test_expired_revocations_make_room_for_news(stored: Interrupted, superuser: str) -> None:
    feed = feed_of(stored, most=3)
    for value in ("a", "b", "c"):
        await add(superuser, value, NOW)
    await feed.look()
    await expire(superuser, "a")
    await add(superuser, "d", 1 * DAY)
    await feed.load_news()
    assert {value for value in "abcd" if is_refused(feed, value)} == {"b", "c", "d"}


async def test_list_that_is_only_loaded_in_part_judges_no_token(
    stored: Interrupted, superuser: str
) -> None:
    feed = feed_of(stored)
    for value in ("a", "b", "c"):
        await add(superuser, value, NOW)
    judged = list[bool]()

    async def meanwhile() -> None:
        with suppress(RevocationsUnavailableError):
            judged.append(is_refused(feed, "c"))

    stored.meanwhile = meanwhile
    await feed.look()
    assert judged == []
    assert is_refused(feed, "c")


async def test_fault79_other_tasks_get_a_turn_between_any_two_parts(
    stored: Interrupted, superuser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(9):
        await add(superuser, f"s-{number}", NOW)
    feed, turns = feed_of(stored), 0
    parts = list[tuple[int, int]]()
    add_many = feed.revocations.add_many

    def watched(kind: RevocationKind, values: Collection[str], times: Collection[float]) -> None:
        parts.append((turns, len(values)))
        add_many(kind, values, times)

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(feed.revocations, "add_many", watched)
    task = asyncio.create_task(other())
    await feed.load_all()
    await feed.load_news()
    task.cancel()
    assert [number for _, number in parts] == [2, 2, 2, 2, 1] * 2
    assert len({turn for turn, _ in parts}) == len(parts)
    assert len(feed.revocations) == 9


async def test_load_that_is_cancelled_between_two_pieces_misses_nothing(
    database: Database, superuser: str
) -> None:
    news = [f"s-{number}" for number in range(300)]
    feed = feed_of(Revocations(database, VerificationPolicy(ORIGIN, ORIGIN)), most=1_000)
    await feed.look()
    async with connected(superuser) as connection:
        await connection.executemany(ADD, [(NOW, None, "session", one, 7 * DAY) for one in news])
    changes = list[int]()
    feed.changed = lambda: changes.append(len(feed.revocations))
    load = asyncio.create_task(feed.load_news())
    while not is_refused(feed, news[0]):  # noqa: ASYNC110 - the loop has no event for it
        await asyncio.sleep(0)
    assert not is_refused(feed, news[-1])
    load.cancel()
    with suppress(asyncio.CancelledError):
        await load
    assert changes == [len(news)]
    await feed.load_news()
    assert [one for one in news if not is_refused(feed, one)] == []
