"""`RevocationList`: keys and tokens to refuse before they expire, held in memory.

The application keeps the revocations (in a table or a file) and loads them into the list. Lookups
are in memory, so no request waits for them. Until the list has been loaded once, every token is
answered with `RevocationsUnavailableError`.

A key stays revoked. Tokens are revoked by subject, by session, or all at once. Keep an entry for a
subject or for everyone until the longest-lived token has expired. Keep an entry for a session as
long as the issuer may still issue tokens for it: the list remembers the sessions whose tokens it
refused (`refused_sessions`), so that the application can keep those entries longer.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from better_auth_keys.errors import InvalidTokenError, Reason, RevocationsUnavailableError
from better_auth_keys.string_sets import string_set
from better_auth_keys.tokens.claims import AccessToken

SESSION_CLAIM: Final = "sid"
"""The claim with the session of a token (registered for OpenID Connect)."""

RevocationKind = Literal["subject", "session", "everyone"]


@dataclass(frozen=True, slots=True)
class Revocation:
    """Tokens of `value` issued at or before `at` (Unix seconds) are refused.

    For a session, `at` is ignored and all its tokens are refused. For everyone, `value` is empty.
    """

    kind: RevocationKind
    value: str
    at: float


class RevocationList:
    """The revoked keys, sessions and subjects."""

    def __init__(self) -> None:
        self._kids: frozenset[str] | None = None
        self._everyone = float("-inf")
        self._subjects: dict[str, float] = {}
        self._sessions: set[str] = set()
        self._refused: set[str] = set()

    def __len__(self) -> int:
        return len(self._kids or ()) + len(self._subjects) + len(self._sessions)

    @property
    def loaded(self) -> bool:
        """Whether the list has been loaded once."""
        return self._kids is not None

    def replace(
        self, *, kids: str | Collection[str], revocations: Iterable[Revocation] = ()
    ) -> None:
        """Replace the whole list. `kids` are the revoked keys."""
        revoked = string_set(kids, "kids")
        self._everyone, self._subjects, self._sessions = float("-inf"), {}, set()
        self.add(revocations)
        self._kids = revoked
        self._refused &= self._sessions

    def add(self, revocations: Iterable[Revocation], *, kids: Collection[str] = ()) -> None:
        """Add new revocations to the list."""
        if self._kids is not None:
            self._kids |= frozenset(kids)
        for revocation in revocations:
            if revocation.kind == "everyone":
                self._everyone = max(self._everyone, revocation.at)
            elif revocation.kind == "session":
                self._sessions.add(revocation.value)
            else:
                before = self._subjects.get(revocation.value, revocation.at)
                self._subjects[revocation.value] = max(before, revocation.at)

    def check_key(self, kid: str) -> None:
        """Raise `InvalidTokenError` if the key is revoked, even if the issuer still serves it.

        Raises `RevocationsUnavailableError` if the list has not been loaded.
        """
        if self._kids is None:
            raise RevocationsUnavailableError
        if kid in self._kids:
            raise InvalidTokenError(Reason.REVOKED_KEY)

    def check_token(self, token: AccessToken) -> None:
        """Raise `InvalidTokenError` if the token's session, subject or everyone is revoked.

        `iat` has whole seconds, so a token issued later in the second of a revocation is refused
        as well.
        """
        session = token.claims.get(SESSION_CLAIM)
        if isinstance(session, str) and session in self._sessions:
            self._refused.add(session)
            raise InvalidTokenError(Reason.REVOKED)
        revoked_at = max(self._everyone, self._subjects.get(token.subject, float("-inf")))
        if token.issued_at <= revoked_at:
            raise InvalidTokenError(Reason.REVOKED)

    def refused_sessions(self, most: int) -> frozenset[str]:
        """Return up to `most` sessions whose tokens were refused, without the settled ones."""
        return frozenset(islice(self._refused, most))

    def settle_refused(self, sessions: Collection[str]) -> None:
        """Remove sessions from `refused_sessions` once the application has recorded them."""
        self._refused.difference_update(sessions)
