"""`RevocationList`: what is refused although it has not expired, held in memory by each verifier.

Whoever keeps the list (a table, a file) loads it here. Looking something up costs nothing, and no
request ever waits for the list. Until it has been loaded once nobody can say what is revoked, so
nothing is taken: unknown is not valid.

A key is revoked for good. Tokens are revoked by whom they speak for (a subject, a session, or
everyone). An entry for a subject or everyone is needed until the longest-lived token has expired.
An entry for a session is needed for as long as its issuer could issue tokens for it: the list
remembers which sessions' tokens it refused, for its owner to keep those entries longer. The owner
leaves out what is older.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from better_auth_keys.errors import InvalidTokenError, Reason, RevocationsUnavailableError
from better_auth_keys.string_sets import string_set
from better_auth_keys.tokens.claims import AccessToken

SESSION_CLAIM: Final = "sid"
"""Names the session that a token came from (RFC 7519 registers it for OpenID Connect)."""

RevocationKind = Literal["subject", "session", "everyone"]


@dataclass(frozen=True, slots=True)
class Revocation:
    """Tokens of `value` issued at or before `at` (Unix seconds) are refused.

    For a session `at` does not matter: one that has ended stays so. For everyone `value` is empty.
    """

    kind: RevocationKind
    value: str
    at: float


class RevocationList:
    """The revoked keys and tokens."""

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
        """Take up the list as it is now."""
        revoked = string_set(kids, "kids")
        self._everyone, self._subjects, self._sessions = float("-inf"), {}, set()
        self.add(revocations)
        self._kids = revoked
        self._refused &= self._sessions

    def add(self, revocations: Iterable[Revocation], *, kids: Collection[str] = ()) -> None:
        """Take up what has been revoked since."""
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
        """Raise `InvalidTokenError` for a revoked key, whoever may still serve it.

        Raises `RevocationsUnavailableError` as long as the list has not been loaded.
        """
        if self._kids is None:
            raise RevocationsUnavailableError
        if kid in self._kids:
            raise InvalidTokenError(Reason.REVOKED_KEY)

    def check_token(self, token: AccessToken) -> None:
        """Raise `InvalidTokenError` for a token that was revoked itself.

        `iat` counts whole seconds: of a subject cut off, a token issued later in the same second is
        refused as well.
        """
        session = token.claims.get(SESSION_CLAIM)
        if isinstance(session, str) and session in self._sessions:
            self._refused.add(session)
            raise InvalidTokenError(Reason.REVOKED)
        cut_off_at = max(self._everyone, self._subjects.get(token.subject, float("-inf")))
        if token.issued_at <= cut_off_at:
            raise InvalidTokenError(Reason.REVOKED)

    def refused_sessions(self, most: int) -> frozenset[str]:
        """Return up to `most` sessions whose tokens were refused and that were not settled yet."""
        return frozenset(islice(self._refused, most))

    def settle_refused(self, sessions: Collection[str]) -> None:
        """Forget that tokens of these sessions were refused: their owner has noted it."""
        self._refused.difference_update(sessions)
