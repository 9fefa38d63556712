"""`RevocationFeed`: refuse revoked keys and tokens within a second of their revocation.

1. New revocations are loaded after each notification, every `poll_seconds` in case one was missed,
   and every `heartbeat_seconds` while no notifications arrive.
2. The whole list is reloaded every hour, to forget what no longer matches any valid token, and when
   notifications stop: another server may have taken over, without the last rows of the old one.
3. Until the list has been loaded once, no token is accepted. While the database cannot be reached
   after that, the last list stays in use, for at most `max_age` seconds.

The role of the URL needs only SELECT on the tables `revoked_keys` and `token_revocations`. A role
that may not write cannot prolong an entry: a session that is used after it was revoked is refused
for the session's lifetime after its revocation.
"""

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final, Self

from better_auth_keys.revocation import RevocationList
from better_auth_keys.revocation_feed.connection import ERRORS, SECONDS, Address, Reader
from better_auth_keys.revocation_feed.listening import Listening
from better_auth_keys.revocation_feed.loader import RevocationLoader, TooManyRevocationsError
from better_auth_keys.revocation_feed.stored import StoredRevocations
from better_auth_keys.tokens.policy import MAX_LEEWAY

logger = logging.getLogger("better_auth_keys")

_RETRY_SECONDS: Final = 1.0
_RELOAD_SECONDS: Final = 3600.0
_PAUSE_SECONDS: Final = 0.1
"""The pause between two loads, so that in a burst each load has many revocations."""
_PART_PAUSE_SECONDS: Final = 0.05
"""The pause between two parts of the whole list."""
_LONG_PAUSE_SECONDS: Final = 60.0
"""The pause before the whole list is loaded again after a failure or too many revocations."""


class RevocationFeed:
    """Keeps `revocations` up to date with the database, as an async context manager.

    Pass `revocations` to the verifier. `max_lifetime` is at least that of the verifier's policy.
    With `max_age`, every token raises `RevocationsUnavailableError` when nothing could be loaded
    for so long; without it, the last list is used until the database is back. All times are in
    seconds. Two connections are used: LISTEN needs one that does not go through a transaction
    pooler. Raises `ValueError` for a URL that cannot be used.
    """

    def __init__(
        self,
        database_url: str,
        *,
        max_lifetime: float = 24 * 3600,
        max_age: float | None = None,
        poll_seconds: float = 30,
        heartbeat_seconds: float = 5,
    ) -> None:
        if min(poll_seconds, heartbeat_seconds, max_lifetime) <= 0:
            raise ValueError("the times must be positive")
        if max_age is not None and max_age <= poll_seconds:
            raise ValueError("max_age must be greater than poll_seconds")
        address = Address(database_url)
        self._max_age = max_age
        self._poll_seconds = poll_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._reader = Reader(address)
        self._loader = RevocationLoader(
            StoredRevocations(self._reader.fetch, token_seconds=max_lifetime + 2 * MAX_LEEWAY)
        )
        self._said, self._lost = asyncio.Event(), asyncio.Event()
        self._listening = Listening(
            address,
            self._reader,
            heard=self._said.set,
            lost=self._lose,
            heartbeat_seconds=heartbeat_seconds,
        )
        self._expiry: asyncio.TimerHandle | None = None
        self._failing = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def revocations(self) -> RevocationList:
        """The list for `AccessTokenVerifier(revocations=...)`."""
        return self._loader.revocations

    @property
    def listening(self) -> bool:
        """Whether notifications arrive. If not, revocations are polled for."""
        return self._listening.listening

    @property
    def age(self) -> float | None:
        """Seconds since the revocations were last loaded; None if never."""
        return self._loader.age

    async def __aenter__(self) -> Self:
        """Load the revocations and follow them in the background.

        If the database does not answer within a few seconds, it is tried again in the background.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                await self._attempt(self._loader.look())
        self._tasks = [
            asyncio.create_task(self._listening.run(), name="revocations-listening"),
            asyncio.create_task(self._follow(), name="revocations"),
            asyncio.create_task(self._reload(), name="revocations-reload"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop following the revocations. The list keeps what it has."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        if self._expiry is not None:
            self._expiry.cancel()
        self._reader.close()

    async def _follow(self) -> None:
        """Load new revocations after each notification, and now and then without one."""
        well = self.revocations.loaded
        while True:
            seconds = self._poll_seconds
            if not well or not self.listening:
                soon = self._heartbeat_seconds if well else _RETRY_SECONDS
                seconds = min(self._poll_seconds, soon)
            await _wait(self._said, seconds)
            well = await self._attempt(self._loader.look())
            await asyncio.sleep(_LONG_PAUSE_SECONDS if self._loader.too_many else _PAUSE_SECONDS)

    async def _reload(self) -> None:
        """Load the whole list every hour, and when notifications stop, a part at a time."""
        well = True
        while True:
            await _wait(self._lost, _RELOAD_SECONDS if well else _LONG_PAUSE_SECONDS)
            well = await self._attempt(self._loader.load_all(pause=_PART_PAUSE_SECONDS))
            await asyncio.sleep(_LONG_PAUSE_SECONDS)

    def _lose(self) -> None:
        self._said.set()
        self._lost.set()

    async def _attempt(self, work: Awaitable[None]) -> bool:
        """Return whether the list was loaded. Log one line when failures begin."""
        try:
            await work
        except ERRORS as error:
            if not self._failing:
                logger.warning(
                    "cannot load the revocations (%s); retrying: until then this process may miss"
                    " new revocations",
                    type(error).__name__,
                )
            self._failing = True
            return False
        except TooManyRevocationsError as error:
            logger.error("%s", error)  # noqa: TRY400 - the traceback says nothing more
            return False
        except Exception:  # no error may end the background tasks
            logger.exception("unexpected error while loading revocations; retrying")
            return False
        self._failing = False
        # It may have become too old while new revocations were loaded.
        if self.revocations.loaded:
            self._expire_later()
        return self.revocations.loaded

    def _expire_later(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
        if self._max_age is not None:
            self._expiry = asyncio.get_running_loop().call_later(self._max_age, self._expire)

    def _expire(self) -> None:
        logger.error(
            "the revocations could not be loaded for %g s (max_age): no token is accepted until"
            " they are loaded again",
            self._max_age,
        )
        self.revocations.unload()
        self._said.set()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, but at most for `seconds`, and clear it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    event.clear()
