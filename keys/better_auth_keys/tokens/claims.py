"""Check the claims of a token (RFC 7519, RFC 8725, RFC 9068).

The claims, the policy and the time decide everything here; no key is needed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from better_auth_keys.errors import InvalidTokenError, Reason
from better_auth_keys.tokens.policy import VerificationPolicy

MAX_SUBJECT_LENGTH: Final = 255
_PROFILE_CLAIMS: Final = {"better-auth": (), "rfc9068": ("client_id", "jti")}


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A verified token. Only `AccessTokenVerifier` creates one.

    A user is identified by issuer and subject together. Times are in Unix seconds. `scopes` is None
    if the token has no `scope` claim, which differs from an empty one. `not_before` is `issued_at`
    if the token has no `nbf` claim. `bound_key` is the thumbprint (RFC 7638) of the key that the
    token is bound to by DPoP, or None.
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
    bound_key: str | None = None


def read_claims(
    unverified_claims: dict[str, object], key_id: str, policy: VerificationPolicy, now: float
) -> AccessToken:
    """Check the claims, and return them as a token whose signature is still to be verified.

    `now` is in Unix seconds. Raises `InvalidTokenError`.
    """
    claims = unverified_claims
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or issuer not in policy.issuers:
        raise InvalidTokenError(Reason.WRONG_ISSUER)
    audiences = _audiences(claims.get("aud"))
    if policy.audiences.isdisjoint(audiences):
        raise InvalidTokenError(Reason.WRONG_AUDIENCE)
    issued_at = _numeric_date(claims.get("iat"))
    token = AccessToken(
        issuer=issuer,
        subject=_subject(claims.get("sub")),
        audiences=audiences,
        issued_at=issued_at,
        not_before=_numeric_date(claims["nbf"]) if "nbf" in claims else issued_at,
        expires_at=_numeric_date(claims.get("exp")),
        key_id=key_id,
        scopes=_scopes(claims),
        claims=MappingProxyType(claims),
        bound_key=_bound_key(claims),
    )
    check_times(token, policy, now)
    if not 0 <= token.expires_at - token.issued_at <= policy.max_lifetime:
        raise InvalidTokenError(Reason.LIFETIME_TOO_LONG)
    for name in _PROFILE_CLAIMS[policy.profile]:
        if not isinstance(claims.get(name), str):
            raise InvalidTokenError(Reason.MISSING_CLAIM)
    return token


def check_times(token: AccessToken, policy: VerificationPolicy, now: float) -> None:
    """Raise `InvalidTokenError` unless the token is valid at `now` (Unix seconds), with leeway."""
    if token.expires_at <= now - policy.leeway:
        raise InvalidTokenError(Reason.EXPIRED)
    if token.issued_at > now + policy.leeway or token.not_before > now + policy.leeway:
        raise InvalidTokenError(Reason.NOT_YET_VALID)


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


def _scopes(claims: Mapping[str, object]) -> frozenset[str] | None:
    if "scope" not in claims:
        return None
    scope = claims["scope"]
    if not isinstance(scope, str):
        raise InvalidTokenError(Reason.BAD_SCOPE)
    return frozenset(scope.split(" ")) - {""}


def _bound_key(claims: Mapping[str, object]) -> str | None:
    """Return the key that the token is bound to (RFC 9449 section 6.1)."""
    if "cnf" not in claims:
        return None
    confirmation = claims["cnf"]
    if isinstance(confirmation, dict) and confirmation.keys() == {"jkt"}:
        thumbprint = confirmation["jkt"]
        if isinstance(thumbprint, str):
            return thumbprint
    # Bound in another way as well, such as to a TLS certificate, which is not checked.
    raise InvalidTokenError(Reason.KEY_BOUND)
