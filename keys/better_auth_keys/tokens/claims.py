"""Check the claims of a token (RFC 7519, RFC 8725, RFC 9068).

The claims, the policy and the time decide everything here; no key is needed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from better_auth_keys.errors import InvalidTokenError, Reason
from better_auth_keys.tokens.policy import TokenKind, VerificationPolicy

MAX_SUBJECT_LENGTH: Final = 255
_OAUTH_CLAIMS: Final = ("client_id", "jti")
_NEVER_IN_SESSION_TOKENS: Final = frozenset({"client_id", "azp", "at_hash", "c_hash", "nonce"})
"""Claims of OAuth access tokens and of OpenID Connect's ID tokens. Better Auth's ID tokens have no
`typ`, and neither have its session tokens."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A verified token. Only `AccessTokenVerifier` creates one.

    A user is identified by issuer and subject together (`identity`). Times are in Unix seconds.
    `scopes` is None for a session token without a `scope` claim, which is not limited to scopes.
    An OAuth access token without one has no scope at all. `not_before` is `issued_at` if the token
    has no `nbf` claim.
    """

    issuer: str
    subject: str
    audiences: frozenset[str]
    issued_at: float
    not_before: float
    expires_at: float
    key_id: str
    scopes: frozenset[str] | None
    claims: Mapping[str, object]
    kind: TokenKind = "session"
    authority: str = ""
    """The name of the issuer in `identity`. Empty if it is `issuer`."""

    @property
    def identity(self) -> tuple[str, str]:
        """The user: the issuer's one name, and the subject.

        It is the same in session and OAuth access tokens of one Better Auth, although they name
        different issuers. A token of OAuth client credentials has the client as its subject.
        """
        return self.authority or self.issuer, self.subject

    @property
    def client_id(self) -> str | None:
        """The OAuth client that has the token. None for a session token."""
        found = self.claims.get("client_id") if self.kind == "oauth" else None
        return found if isinstance(found, str) else None


def read_claims(
    unverified_claims: dict[str, object],
    key_id: str,
    kind: TokenKind,
    policy: VerificationPolicy,
    now: float,
) -> AccessToken:
    """Check the claims, and return them as a token whose signature is still to be verified.

    `kind` is what the header says. `now` is in Unix seconds. Raises `InvalidTokenError`.
    """
    claims = unverified_claims
    issuer = _issuer(claims, kind, policy)
    audiences = _audiences(claims.get("aud"))
    if policy.audiences.isdisjoint(audiences):
        raise InvalidTokenError(Reason.WRONG_AUDIENCE)
    if policy.single_audience and len(audiences) > 1:
        raise InvalidTokenError(Reason.SEVERAL_AUDIENCES)
    issued_at = _numeric_date(claims.get("iat"))
    token = AccessToken(
        issuer=issuer,
        subject=_subject(claims.get("sub")),
        audiences=audiences,
        issued_at=issued_at,
        not_before=_numeric_date(claims["nbf"]) if "nbf" in claims else issued_at,
        expires_at=_numeric_date(claims.get("exp")),
        key_id=key_id,
        scopes=_scopes(claims, kind),
        claims=MappingProxyType(claims),
        kind=kind,
        authority=policy.authority_of(issuer),
    )
    check_times(token, policy, now)
    if not 0 <= token.expires_at - token.issued_at <= policy.max_lifetime:
        raise InvalidTokenError(Reason.LIFETIME_TOO_LONG)
    _check_kind(claims, kind, policy)
    if policy.refuse_banned and claims.get("banned") not in (None, False):
        raise InvalidTokenError(Reason.BANNED)
    if "cnf" in claims:
        # Bound to a key, and a Bearer request has no proof of that key (RFC 9449 section 7.2).
        raise InvalidTokenError(Reason.KEY_BOUND)
    return token


def check_times(token: AccessToken, policy: VerificationPolicy, now: float) -> None:
    """Raise `InvalidTokenError` unless the token is valid at `now` (Unix seconds), with leeway."""
    if token.expires_at <= now - policy.leeway:
        raise InvalidTokenError(Reason.EXPIRED)
    if token.issued_at > now + policy.leeway or token.not_before > now + policy.leeway:
        raise InvalidTokenError(Reason.NOT_YET_VALID)


def _issuer(claims: Mapping[str, object], kind: TokenKind, policy: VerificationPolicy) -> str:
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or issuer not in policy.all_issuers:
        raise InvalidTokenError(Reason.WRONG_ISSUER)
    if issuer not in policy.issuers_of(kind):
        raise InvalidTokenError(Reason.MIXED_KIND)
    return issuer


def _check_kind(claims: Mapping[str, object], kind: TokenKind, policy: VerificationPolicy) -> None:
    """Raise `InvalidTokenError` unless the claims are those of this kind of token."""
    if kind == "oauth":
        for name in _OAUTH_CLAIMS:
            if not isinstance(claims.get(name), str):
                raise InvalidTokenError(Reason.MISSING_CLAIM)
    elif policy.oauth_issuers and not _NEVER_IN_SESSION_TOKENS.isdisjoint(claims):
        # Only where both kinds are accepted: other issuers put such claims in tokens without `typ`.
        raise InvalidTokenError(Reason.MIXED_KIND)


def _audiences(value: object) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset({value})
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return frozenset(value)
    raise InvalidTokenError(Reason.WRONG_AUDIENCE)


def _numeric_date(value: object) -> float:
    # bool is an int to Python and a mistake in a token; 1e400 has already become infinity.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidTokenError(Reason.BAD_TIME_CLAIM)
    try:
        seconds = float(value)
    except OverflowError:
        raise InvalidTokenError(Reason.BAD_TIME_CLAIM) from None
    if not math.isfinite(seconds):
        raise InvalidTokenError(Reason.BAD_TIME_CLAIM)
    return seconds


def _subject(value: object) -> str:
    # isprintable refuses control characters and lone surrogates. Subjects are not normalized:
    # two that differ in one code point are two users.
    if not isinstance(value, str) or not 0 < len(value) <= MAX_SUBJECT_LENGTH:
        raise InvalidTokenError(Reason.BAD_SUBJECT)
    if not value.isprintable():
        raise InvalidTokenError(Reason.BAD_SUBJECT)
    return value


def _scopes(claims: Mapping[str, object], kind: TokenKind) -> frozenset[str] | None:
    if "scope" not in claims:
        # Without scopes an OAuth access token permits nothing, rather than everything.
        return frozenset() if kind == "oauth" else None
    scope = claims["scope"]
    if not isinstance(scope, str):
        raise InvalidTokenError(Reason.BAD_SCOPE)
    return frozenset(scope.split(" ")) - {""}
