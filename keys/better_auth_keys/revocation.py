"""`RevocationList`: keys and tokens to refuse before they expire, held in memory.

The application keeps the revocations (in a table or a file) and loads them into the list. Lookups
are in memory, so no request waits for them. Until the list has been loaded once, every token is
answered with `RevocationsUnavailableError`.

A key stays revoked. Tokens are revoked by subject, by session, or all at once. Keep an entry for a
subject or for everyone until the longest-lived token has expired. Keep an entry for a session as
long as the issuer may still issue tokens for it: the list remembers the sessions whose tokens it
refused (`refused_sessions`), so that the application can keep those entries longer.

`replace` replaces a short list at once. A long one is reloaded in parts, between which requests are
served: `begin_reload`, `add` or `add_many` for each part, and `finish_reload`. All entries
stay in force meanwhile, and revocations that are added in between are kept.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from better_auth_keys.errors import InvalidTokenError, Reason, RevocationsUnavailableError
from better_auth_keys.revoked_values import RevokedValues
from better_auth_keys.string_sets import string_set
from better_auth_keys.tokens.claims import AccessToken

SESSION_CLAIM: Final = "sid"
"""The claim with the session of a token (registered for OpenID Connect)."""

RevocationKind = Literal["subject", "session", "everyone"]
_NEVER: Final = float("-inf")


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
        self._everyone = _NEVER
        self._subjects = RevokedValues()
        self._sessions = RevokedValues(timed=False)
        self._refused: set[str] = set()
        # What was added since `begin_reload`.
        self._new_kids: frozenset[str] = frozenset()
        self._new_everyone = _NEVER

    def __len__(self) -> int:
        return len(self._kids or ()) + len(self._subjects) + len(self._sessions)

    @property
    def loaded(self) -> bool:
        """Whether the list is complete. While it is not, no token can be judged."""
        return self._kids is not None

    def replace(
        self, *, kids: str | Collection[str], revocations: Iterable[Revocation] = ()
    ) -> None:
        """Replace the whole list. `kids` are the revoked keys."""
        revoked = string_set(kids, "kids")
        self.begin_reload()
        self.add(revocations)
        for _ in self.finish_reload(kids=revoked):
            pass

    def begin_reload(self) -> None:
        """Begin to reload the list in parts. Begin only one reload at a time.

        A reload that is never finished removes nothing.
        """
        self._new_kids, self._new_everyone = frozenset(), _NEVER
        self._subjects.begin_generation()
        self._sessions.begin_generation()

    def finish_reload(self, *, kids: str | Collection[str]) -> Iterator[None]:
        """Remove what was not added since `begin_reload`. The list then counts as loaded.

        Each step of the iteration does a few milliseconds of the work. `kids` are the revoked keys.
        """
        self._kids = string_set(kids, "kids") | self._new_kids
        self._everyone = self._new_everyone
        yield from self._subjects.sweep()
        yield from self._sessions.sweep()
        self._refused = {one for one in self._refused if self._sessions.revoked_at(one) > _NEVER}

    def unload(self) -> None:
        """Judge no token until the next reload is finished: the list is known to be incomplete."""
        self._kids = None

    def add(self, revocations: Iterable[Revocation], *, kids: Collection[str] = ()) -> None:
        """Add new revocations to the list."""
        self._new_kids |= frozenset(kids)
        if self._kids is not None:
            self._kids |= frozenset(kids)
        for revocation in revocations:
            self.add_many(revocation.kind, (revocation.value,), (revocation.at,))

    def add_many(
        self, kind: RevocationKind, values: Collection[str], times: Collection[float]
    ) -> None:
        """Add new revocations of one kind, with a time for each value.

        This is what `add` does, without an object for each revocation. For sessions, `times` is
        ignored and may be empty. Raises `ValueError` if a subject has no time.
        """
        if kind == "session":
            self._sessions.add(values)
        elif kind == "subject":
            self._subjects.add(values, times)
        else:
            latest = max(times, default=_NEVER)
            self._everyone = max(self._everyone, latest)
            self._new_everyone = max(self._new_everyone, latest)

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
        if isinstance(session, str) and self._sessions.revoked_at(session) > _NEVER:
            self._refused.add(session)
            raise InvalidTokenError(Reason.REVOKED)
        revoked_at = max(self._everyone, self._subjects.revoked_at(token.subject))
        if token.issued_at <= revoked_at:
            raise InvalidTokenError(Reason.REVOKED)

    def refused_sessions(self, most: int) -> frozenset[str]:
        """Return up to `most` sessions whose tokens were refused, without the settled ones."""
        return frozenset(islice(self._refused, most))

    def settle_refused(self, sessions: Collection[str]) -> None:
        """Remove sessions from `refused_sessions` once the application has recorded them."""
        self._refused.difference_update(sessions)
