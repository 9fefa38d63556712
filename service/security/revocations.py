"""Database access for revocations: record sign-outs, and prolong the entries of used sessions.

`StoredRevocations` reads them.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Final

from better_auth_keys import Revocation, RevocationKind, VerificationPolicy
from better_auth_keys.revocation_feed import PART, StoredRevocations
from service.database.execution import AnyRow, Database
from service.database.statements import Statement, Step

_SERVICE: Final = "service"

SESSION_LIFETIME: Final = timedelta(days=7)
"""How long a session lives after its last use: Better Auth's default."""
# Better Auth's sessions without "remember me" live for a day, whatever their setting is.
_SHORTEST_SESSION: Final = timedelta(days=1)

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


class Revocations(StoredRevocations):
    """The revocations in the database. Every method raises `DatabaseUnavailableError`."""

    def __init__(
        self,
        database: Database,
        policy: VerificationPolicy,
        *,
        session_lifetime: timedelta = SESSION_LIFETIME,
        part: int = PART,
    ) -> None:
        # The longest time that a token is accepted.
        token_seconds = policy.max_lifetime + 2 * policy.leeway
        super().__init__(database.fetch, token_seconds=token_seconds, part=part)
        self._database = database
        self._session_lifetime = max(session_lifetime, _SHORTEST_SESSION)

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


def added(kind: RevocationKind, value: str, rows: Sequence[AnyRow]) -> Revocation:
    """Return the revocation that `Revocations.step` added, from the rows of its statement."""
    return Revocation(kind, value, float(rows[0][0]))
