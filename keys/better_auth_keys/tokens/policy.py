"""`VerificationPolicy`: which tokens are accepted."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal, get_args

from better_auth_keys.string_sets import string_set
from better_auth_keys.tokens.jwk import DEFAULT_ALGORITHMS, algorithm_set

Profile = Literal["better-auth", "rfc9068"]
TokenKind = Literal["session", "oauth"]
"""`session`: a token of Better Auth's jwt plugin, which speaks for a signed-in user. `oauth`: an
OAuth access token (RFC 9068), which a client has, limited to scopes."""
MAX_LEEWAY: Final = 300  # seconds; more would hide a wrong clock


@dataclass(frozen=True, slots=True, init=False)
class VerificationPolicy:
    """Which tokens are accepted. Times are in seconds.

    `issuers` are the names of one issuer, with one key set. With the profile "better-auth" they are
    those of session tokens. OAuth access tokens are accepted as well if `oauth_issuers` names their
    issuer, which is `<origin>/api/auth` by default. With the profile "rfc9068" only OAuth access
    tokens are accepted, under `issuers`.

    A token needs one of the `audiences`; with `single_audience` it must have no other. With
    `refuse_banned`, a token whose claim `banned` is not false is refused. `authority` is the name
    of the issuer in `AccessToken.identity`, whichever of its names a token has. Its default is
    the only one of `issuers`; if there are several, it is the token's own issuer.

    Issuers, audiences and algorithms are each a string (one value) or a collection of strings.
    Raises `TypeError` for anything else, and `ValueError` for a value out of range or an empty set.
    """

    issuers: frozenset[str]
    audiences: frozenset[str]
    algorithms: frozenset[str]
    profile: Profile
    oauth_issuers: frozenset[str]
    single_audience: bool
    refuse_banned: bool
    authority: str | None
    leeway: float
    max_lifetime: float
    max_token_characters: int

    def __init__(  # noqa: PLR0913 - each is a rule of its own, all but two with a default
        self,
        issuers: str | Collection[str],
        audiences: str | Collection[str],
        *,
        algorithms: str | Collection[str] = DEFAULT_ALGORITHMS,
        profile: Profile = "better-auth",
        oauth_issuers: str | Collection[str] = (),
        single_audience: bool = False,
        refuse_banned: bool = False,
        authority: str | None = None,
        leeway: float = 10,
        max_lifetime: float = 24 * 3600,
        max_token_characters: int = 16_384,
    ) -> None:
        of_oauth = string_set(oauth_issuers, "oauth_issuers")
        values = {
            "issuers": _names(issuers, "issuers"),
            "audiences": _names(audiences, "audiences"),
            "algorithms": algorithm_set(algorithms),
            "profile": profile,
            "oauth_issuers": of_oauth,
            "single_audience": single_audience,
            "refuse_banned": refuse_banned,
            "authority": authority,
            "leeway": leeway,
            "max_lifetime": max_lifetime,
            "max_token_characters": max_token_characters,
        }
        if profile not in get_args(Profile):
            raise ValueError(f"the profile must be one of {', '.join(get_args(Profile))}")
        if "" in of_oauth or authority == "":
            raise ValueError("oauth_issuers and authority must not contain an empty string")
        if of_oauth and profile == "rfc9068":
            raise ValueError("with the profile rfc9068, name the issuer in issuers only")
        if not 0 <= leeway <= MAX_LEEWAY:
            raise ValueError(f"leeway must be between 0 and {MAX_LEEWAY} seconds")
        if not max_lifetime > 0:
            raise ValueError("the maximum lifetime must be positive")
        for name, value in values.items():
            object.__setattr__(self, name, value)  # frozen

    def issuers_of(self, kind: TokenKind) -> frozenset[str]:
        """Return the accepted issuers of a kind of token; none if the kind is not accepted."""
        if self.profile == "rfc9068":
            return self.issuers if kind == "oauth" else frozenset()
        return self.oauth_issuers if kind == "oauth" else self.issuers

    @property
    def all_issuers(self) -> frozenset[str]:
        """The accepted issuers of all kinds of tokens."""
        return self.issuers | self.oauth_issuers

    def authority_of(self, issuer: str) -> str:
        """Return the name in identities for the issuer that a token names `issuer`."""
        if self.authority is not None:
            return self.authority
        return next(iter(self.issuers)) if len(self.issuers) == 1 else issuer


def _names(value: str | Collection[str], argument: str) -> frozenset[str]:
    names = string_set(value, argument)
    if not names or "" in names:
        raise ValueError(f"{argument} must not be empty, and must not contain an empty string")
    return names
