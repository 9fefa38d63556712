"""`RevocationList`: what is refused although it has not expired, held in memory by each verifier.

Whoever keeps the list (a table, a file) replaces it here whole. Until it has been loaded once
nobody can say what is revoked, so nothing is taken: unknown is not valid.
"""

from collections.abc import Collection

from keys.errors import InvalidTokenError, Reason, RevocationsUnavailableError


class RevocationList:
    """The revoked keys. Looking one up costs nothing; no request ever waits for the list."""

    def __init__(self) -> None:
        self._kids: frozenset[str] | None = None

    @property
    def loaded(self) -> bool:
        """Whether the list has been loaded once."""
        return self._kids is not None

    def replace(self, *, kids: Collection[str]) -> None:
        """Take up the list as it is now."""
        self._kids = frozenset(kids)

    def check_key(self, kid: str) -> None:
        """Raise `InvalidTokenError` for a revoked key, whoever may still serve it.

        Raises `RevocationsUnavailableError` as long as the list has not been loaded.
        """
        if self._kids is None:
            raise RevocationsUnavailableError
        if kid in self._kids:
            raise InvalidTokenError(Reason.REVOKED_KEY)
