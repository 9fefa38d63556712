"""Database access for revocations: load them in parts, and record sign-outs.

The database joins each part to a few arrays, which take much less time to receive than rows.
"""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

from better_auth_keys import Revocation, RevocationKind, VerificationPolicy
from service.database.execution import AnyRow, Database
from service.database.statements import Statement, Step
from service.security.unseen_ids import SETTLE_SECONDS, UnseenIds

CHANNEL: Final = "token_revocations"
"""Notifications on it carry no payload; they only mean that a row was added."""
_SERVICE: Final = "service"

PART: Final = 3_000
"""The most revocations that are read at once: a few milliseconds of work."""
SESSION_LIFETIME: Final = timedelta(days=7)
"""How long a session lives after its last use: Better Auth's default."""
# Better Auth's sessions without "remember me" live for a day, whatever their setting is.
_SHORTEST_SESSION: Final = timedelta(days=1)

_KEYS: Final = Statement("SELECT kid FROM public.revoked_keys")
# An entry for a subject or for everyone matters until the tokens issued before it have expired. A
# revoked session may still get new tokens, so its entry matters for the session's lifetime too.
# PostgreSQL computes the inner SELECT once, instead of for each row.
_MATTERS: Final = (
    "greatest(at, refused_at) > (SELECT now() - make_interval(secs => :seconds))"
    " - CASE kind WHEN 'session' THEN session_lifetime ELSE interval '0' END"
)
# The first columns of a part, which has a row for each kind. The times of sessions do not matter.
# `date_part` is quicker than `extract`.
_ARRAYS: Final = (
    "SELECT kind, array_agg(value),"
    " coalesce(array_agg(date_part('epoch', at)) FILTER (WHERE kind <> 'session'), '{}')"
)
_AFTER: Final = Statement(
    f"{_ARRAYS}, max(id) FROM (SELECT * FROM public.token_revocations"  # noqa: S608 - constants
    f" WHERE id > :after AND {_MATTERS} ORDER BY id LIMIT :part) AS part GROUP BY kind"
)
# By id rather than by time: clocks can be wrong, and a process can have been suspended.
_NEWS: Final = Statement(
    f"{_ARRAYS}, array_agg(id) FROM (SELECT news.* FROM"  # noqa: S608 - constants
    " unnest(CAST(:firsts AS bigint[]), CAST(:lasts AS bigint[])) AS unseen (first, last)"
    " CROSS JOIN LATERAL (SELECT * FROM public.token_revocations"
    f" WHERE id BETWEEN first AND last AND {_MATTERS} ORDER BY id LIMIT :part) AS news"
    " ORDER BY id LIMIT :part) AS part GROUP BY kind"
)
# The first `news` reads the rows of the last minutes again, and knows the gaps from then on.
_SETTLED: Final = Statement(
    "SELECT coalesce((SELECT id FROM public.token_revocations"
    " WHERE at <= now() - make_interval(secs => :seconds) ORDER BY id DESC LIMIT 1), 0)"
)
_TRANSACTIONS: Final = Statement(
    "SELECT CAST(CAST(pg_snapshot_xmin(now_running) AS text) AS bigint),"
    " CAST(CAST(pg_snapshot_xmax(now_running) AS text) AS bigint)"
    " FROM pg_current_snapshot() AS now_running"
)
# One statement, and so one transaction: the notification arrives after the row is visible.
_ADD: Final = Statement(
    "WITH added AS ("
    "INSERT INTO public.token_revocations (kind, value, operator, reason, session_lifetime)"
    " VALUES (:kind, :value, :operator, :reason, make_interval(secs => :lifetime))"
    " RETURNING at) SELECT extract(epoch FROM at), pg_notify('token_revocations', '') FROM added"
)
# An entry is updated at most once an hour, which is little compared to a session's lifetime.
_REFUSED: Final = Statement(
    "UPDATE public.token_revocations SET refused_at = now()"
    " WHERE kind = 'session' AND value = ANY(CAST(:sessions AS text[]))"
    " AND greatest(at, refused_at) < now() - interval '1 hour'"
)

Part = list[tuple[RevocationKind, list[str], list[float]]]
"""Revocations: for each kind, the values and the times. A tuple for each one would cost more, and
cause collections of garbage while the process starts."""


class Revocations:
    """The revocations in the database. Every method raises `DatabaseUnavailableError`."""

    def __init__(
        self,
        database: Database,
        policy: VerificationPolicy,
        *,
        session_lifetime: timedelta = SESSION_LIFETIME,
        part: int = PART,
    ) -> None:
        self._database = database
        # The longest time that a token is accepted. Older entries match no valid token.
        seconds = policy.max_lifetime + 2 * policy.leeway
        self._parameters = {"seconds": seconds, "part": part}
        self._part = part
        self._session_lifetime = max(session_lifetime, _SHORTEST_SESSION)
        self._unseen: UnseenIds | None = None

    async def keys(self) -> list[str]:
        """Return the kids of all revoked keys."""
        return [row[0] for row in await self._database.execute(_KEYS, {})]

    async def all(self) -> AsyncGenerator[Part, None]:
        """Return the revocations that can still match a valid token, in parts.

        Rows that become visible meanwhile are returned by the next call of `news`.
        """
        settled = {"seconds": SETTLE_SECONDS}
        ((last,),) = await self._database.execute(_SETTLED, settled)
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
        running: Sequence[AnyRow] = []
        if unseen.overdue:
            running = await self._database.execute(_TRANSACTIONS, {})
        number = self._part
        while number == self._part:
            firsts, lasts = unseen.ranges()
            parameters = {**self._parameters, "firsts": firsts, "lasts": lasts}
            rows = await self._database.execute(_NEWS, parameters)
            ids = [one for row in rows for one in row[3]]
            unseen.see(ids)
            number = len(ids)
            if ids:
                yield _part(rows)
        for oldest, following in running:
            unseen.settle(oldest_running=oldest, next_transaction=following)

    async def add(self, kind: RevocationKind, value: str, reason: str) -> Revocation:
        """Revoke the tokens issued until now, and notify every replica."""
        rows = await self._database.execute(*self.step(kind, value, reason))
        return added(kind, value, rows)

    def step(self, kind: RevocationKind, value: str, reason: str) -> Step:
        """Return the statement of `add` for a transaction. `added` reads its rows."""
        parameters = {
            "kind": kind,
            "value": value,
            "operator": _SERVICE,
            "reason": reason,
            "lifetime": self._session_lifetime.total_seconds(),
        }
        return _ADD, parameters

    async def keep(self, sessions: Collection[str]) -> None:
        """Prolong the entries of sessions whose tokens were just refused."""
        await self._database.execute(_REFUSED, {"sessions": list(sessions)})

    async def _after(self, last: int) -> Sequence[AnyRow]:
        return await self._database.execute(_AFTER, {**self._parameters, "after": last})


def added(kind: RevocationKind, value: str, rows: Sequence[AnyRow]) -> Revocation:
    """Return the revocation that `Revocations.step` added, from the rows of its statement."""
    return Revocation(kind, value, float(rows[0][0]))


def _part(rows: Sequence[AnyRow]) -> Part:
    return [(kind, values, times) for kind, values, times, _ in rows]
