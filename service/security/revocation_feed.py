"""`RevocationFeed`: load the revocations, log new ones, and prolong those of used sessions."""

from typing import Final

from better_auth_keys.revocation_feed import MAX_ENTRIES, RevocationLoader
from service.security.audit import Event, SecurityLog
from service.security.revocations import Revocations

_MOST_KEPT: Final = 1_000


class RevocationFeed(RevocationLoader):
    """Loads revocations. The methods raise `DatabaseUnavailableError`."""

    def __init__(
        self, stored: Revocations, security: SecurityLog, *, most: int = MAX_ENTRIES
    ) -> None:
        super().__init__(
            stored,
            most=most,
            added=lambda entries: security.write(Event.REVOKED, entries=entries),
        )
        self._table = stored

    async def keep_refused(self) -> None:
        """Prolong the entries of sessions whose tokens were refused."""
        sessions = self.revocations.refused_sessions(_MOST_KEPT)
        if sessions:
            await self._table.keep(sessions)
            self.revocations.settle_refused(sessions)
