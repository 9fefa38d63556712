"""`RevocationLoader`: load a `RevocationList` from the database, in parts.

1. The whole list is loaded in parts, at the start and now and then, to forget what no longer
   matches any valid token and to learn which sessions were prolonged. Requests are served between
   the parts. An entry is removed only when a reload has ended without it.
2. New revocations are loaded meanwhile. A reload never delays them by more than one part.
3. No revocation that can match a valid token is omitted. If there are more than `MAX_ENTRIES`, the
   list is incomplete, so no token can be judged, and requests get 503.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from better_auth_keys.revocation import RevocationList
from better_auth_keys.revocation_feed.stored import Part, StoredRevocations

MAX_ENTRIES: Final = 5_000_000
"""The most revocations that are held in memory: up to about 100 MB."""
_PIECES: Final = 20
"""In how many pieces new revocations are added: a few hundred at once would take half a
millisecond, in which requests wait."""
_SMALLEST_PIECE: Final = 50
_PIECE_SECONDS: Final = 0.002
"""The pause before each piece, so that hardly any request waits for two of them."""
_SLOW_SECONDS: Final = 0.08
"""For how long one load adds pieces like that. The rest of many revocations is added at once."""


class TooManyRevocationsError(Exception):
    """There are more revocations in force than can be held in memory."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"more than {most} revocations are in force, the most that are held in memory: tokens"
            " cannot be judged without all of them, so requests get 503; shorten SESSION_LIFETIME"
            " for new revocations, or find out who revokes so many (revoke-tokens --list)"
        )


class RevocationLoader:
    """Loads revocations. The methods raise what `stored` raises.

    `added` is called with the number of entries after revocations were added to a loaded list.
    """

    def __init__(
        self,
        stored: StoredRevocations,
        *,
        most: int = MAX_ENTRIES,
        added: Callable[[int], None] = lambda _entries: None,
    ) -> None:
        self._stored = stored
        self._most = most
        self._added = added
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
        slow_until = time.monotonic() + _SLOW_SECONDS
        async with aclosing(self._stored.news()) as parts:
            async for part in parts:
                pieces, added = _pieces(part), 0
                try:
                    while pieces and time.monotonic() < slow_until:
                        await asyncio.sleep(_PIECE_SECONDS)
                        added += self._revoke(pieces.popleft())
                finally:
                    # Even if this is cancelled: they are not loaded again.
                    added += sum(map(self._revoke, pieces))
                    self._report(added)
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
        added = len(self.revocations) - before
        if added > 0:
            self.changed()
        self._report(added)
        await self.load_news()
        self._loaded_at = time.monotonic()

    def _add(self, part: Part) -> None:
        self._report(self._revoke(part))

    def _revoke(self, part: Part) -> int:
        """Add a part to the list. Return how many entries the list has more."""
        before = len(self.revocations)
        for kind, values, times in part:
            self.revocations.add_many(kind, values, times)
        return len(self.revocations) - before

    def _report(self, added: int) -> None:
        # Revocations from before this process started are not reported.
        if self.revocations.loaded and added > 0:
            self._added(len(self.revocations))


def _pieces(part: Part) -> deque[Part]:
    """Divide a part into about `_PIECES` pieces."""
    number = sum(len(values) for _, values, _ in part)
    size = max(_SMALLEST_PIECE, number // _PIECES)
    return deque(
        [(kind, values[first : first + size], times[first : first + size])]
        for kind, values, times in part
        for first in range(0, len(values), size)
    )
