"""`RevocationFeed`: keep a `RevocationList` up to date with the database.

1. The whole list is loaded in parts, at the start and again each hour, to forget what no longer
   matches any valid token and to learn which sessions were prolonged. Requests are served between
   the parts. An entry is removed only when a reload has ended without it.
2. New revocations are loaded meanwhile. A reload never delays them by more than one part.
3. No revocation that can match a valid token is omitted. If there are more than `MAX_ENTRIES`, the
   list is incomplete, so no token can be judged, and requests get 503.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from better_auth_keys import RevocationList
from service.security.audit import Event, SecurityLog
from service.security.revocations import Part, Revocations

MAX_ENTRIES: Final = 5_000_000
"""The most revocations that are held in memory: up to about 100 MB."""
_MOST_KEPT: Final = 1_000


class TooManyRevocationsError(Exception):
    """There are more revocations in force than can be held in memory."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"more than {most} revocations are in force, the most that are held in memory: tokens"
            " cannot be judged without all of them, so requests get 503; shorten SESSION_LIFETIME"
            " for new revocations, or find out who revokes so many (revoke-tokens --list)"
        )


class RevocationFeed:
    """Loads revocations. The methods raise `DatabaseUnavailableError`."""

    def __init__(
        self, stored: Revocations, security: SecurityLog, *, most: int = MAX_ENTRIES
    ) -> None:
        self._stored = stored
        self._security = security
        self._most = most
        self._reloading = asyncio.Lock()
        self._loaded_at: float | None = None
        self.revocations = RevocationList()
        self.too_many = False
        """Whether the last load of the whole list found too many."""
        self.changed: Callable[[], None] = lambda: None
        """Called when tokens that were accepted before may be refused now."""

    @property
    def age(self) -> float | None:
        """Seconds since the revocations were loaded; None if never."""
        return None if self._loaded_at is None else time.monotonic() - self._loaded_at

    async def load_all(self, *, pause: float = 0) -> None:
        """Load the whole list, and wait between two parts for `pause` seconds.

        Raises `TooManyRevocationsError`.
        """
        async with self._reloading:
            self.revocations.begin_reload()
            number, self.too_many = 0, False
            async with aclosing(self._stored.all()) as parts:
                async for part in parts:
                    self._add(part)
                    number += sum(len(values) for _, values, _ in part)
                    if number > self._most:
                        self.revocations.unload()
                        self.too_many = True
                        self.changed()
                        raise TooManyRevocationsError(self._most)
                    await asyncio.sleep(pause)
            for _ in self.revocations.finish_reload(kids=await self._stored.keys()):
                await asyncio.sleep(0)
            self._loaded_at = time.monotonic()
            self.changed()

    async def load_news(self) -> None:
        """Load the revocations that were added since the last load.

        Raises `TooManyRevocationsError`.
        """
        async with aclosing(self._stored.news()) as parts:
            async for part in parts:
                self._add(part)
                self.changed()
                await asyncio.sleep(0)
        if len(self.revocations) > self._most:
            # Some of them may be forgotten.
            await self.load_all()

    async def look(self) -> None:
        """Load revoked keys and new revocations, or the whole list if it has not been loaded.

        Raises `TooManyRevocationsError`.
        """
        if not self.revocations.loaded:
            await self.load_all()
        before = len(self.revocations)
        self.revocations.add((), kids=await self._stored.keys())
        if len(self.revocations) > before:
            self.changed()
        self._report(before)
        await self.load_news()
        self._loaded_at = time.monotonic()

    async def keep_refused(self) -> None:
        """Prolong the entries of sessions whose tokens were refused."""
        sessions = self.revocations.refused_sessions(_MOST_KEPT)
        if sessions:
            await self._stored.keep(sessions)
            self.revocations.settle_refused(sessions)

    def _add(self, part: Part) -> None:
        before = len(self.revocations)
        for kind, values, times in part:
            self.revocations.add_many(kind, values, times)
        self._report(before)

    def _report(self, before: int) -> None:
        # Revocations from before this process started are not logged as events.
        if self.revocations.loaded and len(self.revocations) > before:
            self._security.write(Event.REVOKED, entries=len(self.revocations))
