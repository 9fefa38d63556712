"""`StoredRevocations`: read the tables of revocations, in parts.

The commands `rotate-keys` and `revoke-tokens` write the tables, and send a NOTIFY. The database
joins each part to a few arrays, which take much less time to receive than rows.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from better_auth_keys.revocation import SESSION_CLAIM, Revocation, RevocationKind
from better_auth_keys.revocation_feed.unseen_ids import SETTLE_SECONDS, UnseenIds
from better_auth_keys.tokens.claims import AccessToken

KEYS_CHANNEL: Final = "signing_keys"
TOKENS_CHANNEL: Final = "token_revocations"
CHANNELS: Final = (KEYS_CHANNEL, TOKENS_CHANNEL)
"""Notifications carry no payload; they only mean that keys changed, or that a row was added."""

PART: Final = 3_000
"""The most revocations that are read at once: a few milliseconds of work."""

_KEYS: Final = "SELECT kid FROM public.revoked_keys"
# An entry for a subject or for everyone matters until the tokens issued before it have expired. A
# revoked session may still get new tokens, so its entry matters for the session's lifetime too.
# PostgreSQL computes the inner SELECT once, instead of for each row.
_MATTERS: Final = (
    "greatest(at, refused_at) > (SELECT now() - make_interval(secs => $1))"
    " - CASE kind WHEN 'session' THEN session_lifetime ELSE interval '0' END"
)
# The first columns of a part, which has a row for each kind. The times of sessions do not matter.
# `date_part` is quicker than `extract`.
_ARRAYS: Final = (
    "SELECT kind, array_agg(value),"
    " coalesce(array_agg(date_part('epoch', at)) FILTER (WHERE kind <> 'session'), '{}')"
)
_AFTER: Final = (
    f"{_ARRAYS}, max(id) FROM (SELECT * FROM public.token_revocations"  # noqa: S608 - constants
    f" WHERE id > $3 AND {_MATTERS} ORDER BY id LIMIT $2) AS part GROUP BY kind"
)
# By id rather than by time: clocks can be wrong, and a process can have been suspended.
_NEWS: Final = (
    f"{_ARRAYS}, array_agg(id) FROM (SELECT news.* FROM"  # noqa: S608 - constants
    " unnest(CAST($3 AS bigint[]), CAST($4 AS bigint[])) AS unseen (first, last)"
    " CROSS JOIN LATERAL (SELECT * FROM public.token_revocations"
    f" WHERE id BETWEEN first AND last AND {_MATTERS} ORDER BY id LIMIT $2) AS news"
    " ORDER BY id LIMIT $2) AS part GROUP BY kind"
)
# The first `news` reads the rows of the last minutes again, and knows the gaps from then on.
_SETTLED: Final = (
    "SELECT coalesce((SELECT id FROM public.token_revocations"
    " WHERE at <= now() - make_interval(secs => $1) ORDER BY id DESC LIMIT 1), 0)"
)
_OF_TOKEN: Final = (
    "SELECT kind, value, at, operator, reason FROM public.token_revocations"  # noqa: S608 - constants
    " WHERE (kind = 'everyone' OR (kind = 'subject' AND value = $2)"
    f" OR (kind = 'session' AND value = $3)) AND {_MATTERS}"
    " ORDER BY kind = 'everyone', id DESC"
)
_TRANSACTIONS: Final = (
    "SELECT CAST(CAST(pg_snapshot_xmin(now_running) AS text) AS bigint),"
    " CAST(CAST(pg_snapshot_xmax(now_running) AS text) AS bigint)"
    " FROM pg_current_snapshot() AS now_running"
)

Part = list[tuple[RevocationKind, list[str], list[float]]]
"""Revocations: for each kind, the values and the times. A tuple for each one would cost more, and
cause collections of garbage while the process starts."""


class Fetch(Protocol):
    """Executes SQL with parameters `$1`, `$2`, and returns the rows."""

    def __call__(self, sql: str, *arguments: object) -> Awaitable[Sequence[Any]]:
        """Return the rows, of which each can be unpacked like a tuple."""
        ...


@dataclass(frozen=True, slots=True)
class RecordedRevocation:
    """A revocation with its time in UTC, and with who revoked the tokens and why."""

    revocation: Revocation
    at: datetime
    operator: str
    reason: str


class StoredRevocations:
    """The revocations in the database. Every method raises what `fetch` raises.

    `token_seconds` is the longest time that a token is accepted after it was issued. Older entries
    match no valid token, and are not read.
    """

    def __init__(self, fetch: Fetch, *, token_seconds: float, part: int = PART) -> None:
        self._fetch = fetch
        self._token_seconds = token_seconds
        self._part = part
        self._unseen: UnseenIds | None = None

    async def keys(self) -> list[str]:
        """Return the kids of all revoked keys."""
        return [row[0] for row in await self._fetch(_KEYS)]

    async def of_token(self, token: AccessToken) -> list[RecordedRevocation]:
        """Return the revocations of a token's subject and session, newest first, then of everyone.

        Some may be older than the token: `RevocationList.check_token` decides which refuse it.
        """
        session = token.claims.get(SESSION_CLAIM)
        named = session if isinstance(session, str) else None
        rows = await self._fetch(_OF_TOKEN, self._token_seconds, token.subject, named)
        return [
            RecordedRevocation(Revocation(kind, value, at.timestamp()), at, operator, reason)
            for kind, value, at, operator, reason in rows
        ]

    async def all(self) -> AsyncGenerator[Part, None]:
        """Return the revocations that can still match a valid token, in parts.

        Rows that become visible meanwhile are returned by the next call of `news`.
        """
        ((last,),) = await self._fetch(_SETTLED, SETTLE_SECONDS)
        # Start over even if there are ids that were seen: a restored database uses them again.
        first = last + 1 if self._unseen is None else min(last + 1, self._unseen.first)
        self._unseen = UnseenIds(first - 1)
        rows = await self._after(0)
        while rows:
            # The database reads the next part while the caller works on this one.
            following = asyncio.create_task(self._after(max(row[3] for row in rows)))
            try:
                await asyncio.sleep(0)
                yield _part(rows)
                rows = await following
            finally:
                if not following.done():
                    following.cancel()
                    with suppress(asyncio.CancelledError):
                        await following

    async def news(self) -> AsyncGenerator[Part, None]:
        """Return what was revoked since the last call of `all` or `news`, in parts.

        Rows from just before the first `all` are returned once more.
        """
        unseen = self._unseen
        if unseen is None:
            raise RuntimeError("call all() first")
        running: Sequence[tuple[int, int]] = []
        if unseen.overdue:
            running = await self._fetch(_TRANSACTIONS)
        number = self._part
        while number == self._part:
            firsts, lasts = unseen.ranges()
            rows = await self._fetch(_NEWS, self._token_seconds, self._part, firsts, lasts)
            ids = [one for row in rows for one in row[3]]
            unseen.see(ids)
            number = len(ids)
            if ids:
                yield _part(rows)
        for oldest, following in running:
            unseen.settle(oldest_running=oldest, next_transaction=following)

    async def _after(self, last: int) -> Sequence[Any]:
        return await self._fetch(_AFTER, self._token_seconds, self._part, last)


def _part(rows: Sequence[Any]) -> Part:
    return [(kind, values, times) for kind, values, times, _ in rows]
