"""Database access for revocations: load them into `RevocationList`, and record sign-outs."""

import logging
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Final

from better_auth_keys import Revocation, RevocationKind, VerificationPolicy
from service.database.execution import AnyRow, Database
from service.database.statements import Statement
from service.security.unseen_ids import LONGEST_TRANSACTION, UnseenIds

CHANNEL: Final = "token_revocations"
"""Notifications on it carry no payload; they only mean that a row was added."""
_SERVICE: Final = "service"

MAX_ENTRIES: Final = 200_000
"""The most entries kept in memory. If there are more, the oldest sessions are left out."""
SESSION_LIFETIME: Final = timedelta(days=7)
"""How long a session lives after its last use: Better Auth's default."""
# Better Auth's sessions without "remember me" live for a day, whatever their setting is.
_SHORTEST_SESSION: Final = timedelta(days=1)

logger = logging.getLogger("service")

_KEYS: Final = Statement("SELECT kid FROM public.revoked_keys")
# An entry for a subject or for everyone matters until the tokens issued before it have expired. A
# revoked session may still get new tokens, so its entry matters for the session's lifetime too.
_MATTERS: Final = (
    "greatest(at, refused_at) > now() - make_interval(secs => :seconds)"
    " - CASE kind WHEN 'session' THEN session_lifetime ELSE interval '0' END"
)
_COLUMNS: Final = "kind, value, CAST(extract(epoch FROM at) AS float8), id"
_ALL: Final = Statement(
    f"SELECT {_COLUMNS} FROM public.token_revocations WHERE {_MATTERS}"  # noqa: S608 - constants
    " ORDER BY kind = 'session', greatest(at, refused_at) DESC LIMIT :most"
)
# The first `news` reads the rows of the last minutes again, and knows the gaps from then on.
_SETTLED: Final = Statement(
    "SELECT coalesce((SELECT id FROM public.token_revocations"
    " WHERE at <= now() - make_interval(secs => :seconds) ORDER BY id DESC LIMIT 1), 0)"
)
# By id rather than by time: no clock has to be right, and a process may have been suspended.
_NEWS: Final = Statement(
    f"SELECT {_COLUMNS} FROM unnest(CAST(:firsts AS bigint[]), CAST(:lasts AS bigint[]))"  # noqa: S608 - constants
    " AS unseen (first, last) JOIN public.token_revocations ON id BETWEEN first AND last"
    f" WHERE {_MATTERS} ORDER BY id LIMIT :most"
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


class Revocations:
    """The revocations in the database. Every method raises `DatabaseUnavailableError`."""

    def __init__(
        self,
        database: Database,
        policy: VerificationPolicy,
        *,
        session_lifetime: timedelta = SESSION_LIFETIME,
        most: int = MAX_ENTRIES,
    ) -> None:
        self._database = database
        # The longest time that a token is accepted. Older entries match no valid token.
        seconds = policy.max_lifetime + 2 * policy.leeway
        self._parameters = {"seconds": seconds, "most": most}
        self._most = most
        self._session_lifetime = max(session_lifetime, _SHORTEST_SESSION)
        self._unseen = UnseenIds(0)

    async def keys(self) -> list[str]:
        """Return the kids of all revoked keys."""
        return [row[0] for row in await self._database.execute(_KEYS, {})]

    async def all(self) -> Iterator[Revocation]:
        """Return the revocations that can still match a valid token, up to `MAX_ENTRIES`."""
        settled = {"seconds": LONGEST_TRANSACTION}
        ((last,),) = await self._database.execute(_SETTLED, settled)
        rows = await self._database.execute(_ALL, self._parameters)
        if len(rows) == self._most:
            logger.error(
                "at least %d revocations are in force, the most that are kept in memory: the oldest"
                " sessions are left out, and only the issuer still refuses them; shorten"
                " SESSION_LIFETIME",
                self._most,
            )
        self._unseen = UnseenIds(last)
        return map(_revocation, rows)

    async def news(self) -> Iterator[Revocation]:
        """Return what was revoked since the last call of `all` or `news`.

        Rows from just before `all` are returned once more.
        """
        firsts, lasts = self._unseen.ranges()
        unseen = {"firsts": firsts, "lasts": lasts}
        rows = await self._database.execute(_NEWS, {**self._parameters, **unseen})
        self._unseen.see(row[3] for row in rows)
        return map(_revocation, rows)

    async def add(self, kind: RevocationKind, value: str, reason: str) -> Revocation:
        """Revoke the tokens issued until now, and notify every replica."""
        parameters = {
            "kind": kind,
            "value": value,
            "operator": _SERVICE,
            "reason": reason,
            "lifetime": self._session_lifetime.total_seconds(),
        }
        rows = await self._database.execute(_ADD, parameters)
        return Revocation(kind, value, float(rows[0][0]))

    async def keep(self, sessions: Collection[str]) -> None:
        """Prolong the entries of sessions whose tokens were just refused."""
        await self._database.execute(_REFUSED, {"sessions": list(sessions)})


def _revocation(row: AnyRow) -> Revocation:
    kind, value, at, _ = row
    return Revocation(kind, value, float(at))
