"""The tables of what is revoked: loaded into `keys.RevocationList`, and added to by a sign-out."""

from typing import Final

from sqlalchemy import text

from keys.policy import VerificationPolicy
from keys.revocation import Kind, Revocation
from service.database import AnyRow, Database

CHANNEL: Final = "token_revocations"
"""What is said on it is nothing but that a row was added."""
_SERVICE: Final = "service"

_KEYS: Final = text("SELECT kid FROM public.revoked_keys")
_TOKENS: Final = text(
    "SELECT kind, value, extract(epoch FROM at) FROM public.token_revocations"
    " WHERE at > now() - make_interval(secs => :seconds)"
)
# One statement and so one transaction: nobody hears of a row that is not there.
_ADD: Final = text(
    "WITH added AS (INSERT INTO public.token_revocations (kind, value, operator, reason)"
    " VALUES (:kind, :value, :operator, :reason) RETURNING at)"
    " SELECT extract(epoch FROM at), pg_notify('token_revocations', '') FROM added"
)


class Revocations:
    """What is revoked, in the database. All of it raises `DatabaseUnavailableError`."""

    def __init__(self, database: Database, policy: VerificationPolicy) -> None:
        self._database = database
        # A token that expires within its leeway lives so long; older entries meet nothing.
        self._longest_life = policy.max_lifetime + 2 * policy.leeway

    async def keys(self) -> list[str]:
        """Give the kids of all revoked keys."""
        return [row[0] for row in await self._database.execute(_KEYS, {})]

    async def tokens(self, within: float | None = None) -> list[Revocation]:
        """Give what was revoked within so many seconds; if not said, what matters still."""
        seconds = self._longest_life if within is None else within
        rows = await self._database.execute(_TOKENS, {"seconds": seconds})
        return [_revocation(row) for row in rows]

    async def add(self, kind: Kind, value: str, reason: str) -> Revocation:
        """Revoke tokens as of now, and have every replica hear of it."""
        rows = await self._database.execute(
            _ADD, {"kind": kind, "value": value, "operator": _SERVICE, "reason": reason}
        )
        return Revocation(kind, value, float(rows[0][0]))


def _revocation(row: AnyRow) -> Revocation:
    kind, value, at = row
    return Revocation(kind, value, float(at))
