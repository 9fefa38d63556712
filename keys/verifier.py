"""`AccessTokenVerifier`: token -> `AccessToken`, or the reason why not.

The order of checks: form and size, header, claims, and only then the key and its signature. No
cryptography and no network is spent on a token that cannot pass; nothing leaves before the
signature has been checked. The claims that were checked are the ones that were signed: both are
read from the same bytes.

NOT checked here: scopes (they belong to an operation, so to the service) and anything about the
user's account.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import time
from types import MappingProxyType
from typing import Final, Literal

from keys.compact import UnverifiedToken, parse_compact
from keys.errors import InvalidTokenError, Reason
from keys.jwk import ALGORITHMS, MAX_KID_LENGTH, canonical_algorithm
from keys.key_set import KeySet

MAX_SUBJECT_LENGTH: Final = 255
_TOKEN_TYPES: Final = {
    # Better Auth writes no `typ`; other JWT libraries write JWT.
    "better-auth": frozenset({None, "jwt"}),
    "rfc9068": frozenset({"at+jwt"}),
}
_PROFILE_CLAIMS: Final = {"better-auth": (), "rfc9068": ("client_id", "jti")}

Profile = Literal["better-auth", "rfc9068"]


@dataclass(frozen=True, slots=True)
class VerificationPolicy:
    """What a token must be to count. Times are in seconds.

    `issuers` are the names of ONE issuer: Better Auth calls itself `<origin>` in session tokens and
    `<origin>/api/auth` in OAuth ones, with one key set behind both.

    Raises `ValueError` where a policy would let everything or nothing pass.
    """

    issuers: frozenset[str]
    audiences: frozenset[str]
    algorithms: frozenset[str] = frozenset({"EdDSA", "RS256"})
    profile: Profile = "better-auth"
    leeway: float = 10
    max_lifetime: float = 24 * 3600
    max_token_characters: int = 16_384

    def __post_init__(self) -> None:
        if not all(self.issuers) or not self.issuers:
            raise ValueError("a policy needs the issuer's name")
        if not all(self.audiences) or not self.audiences:
            raise ValueError("a policy needs the audience that tokens are for")
        canonical = frozenset(canonical_algorithm(name) for name in self.algorithms)
        if not canonical or not canonical <= ALGORITHMS.keys():
            raise ValueError(f"algorithms must be among {', '.join(ALGORITHMS)} (or Ed25519)")
        # EdDSA and Ed25519 are one algorithm: either name, when configured, takes both.
        object.__setattr__(self, "algorithms", canonical)
        if not 0 <= self.leeway <= 300:  # noqa: PLR2004 - five minutes hide a broken clock, not skew
            raise ValueError("leeway must be between 0 and 300 seconds")
        if not self.max_lifetime > 0:
            raise ValueError("the maximum lifetime must be positive")


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A verified token. Only `AccessTokenVerifier` makes one.

    A user is (issuer, subject), never the subject alone. Times are Unix seconds. `scopes` is None
    where the token carries no `scope` at all, which is not the same as an empty one.
    """

    issuer: str
    subject: str
    audiences: frozenset[str]
    issued_at: float
    expires_at: float
    key_id: str
    scopes: frozenset[str] | None
    claims: Mapping[str, object]


class AccessTokenVerifier:
    """Verifies compact JWTs against one issuer's key set. Safe to share between all requests."""

    def __init__(
        self, key_set: KeySet, policy: VerificationPolicy, *, now: Callable[[], float] = time
    ) -> None:
        self._key_set = key_set
        self._policy = policy
        self._now = now

    async def verify(self, token: str) -> AccessToken:
        """Verify a token and give its contents.

        Raises `InvalidTokenError` when it is bad, `KeySetUnavailableError` when that cannot be
        told. Waits only where the token's key is not known yet.
        """
        unverified = parse_compact(token, max_characters=self._policy.max_token_characters)
        algorithm, kid = self._check_header(unverified.unverified_header)
        contents = self._check_claims(unverified, kid)
        key = await self._key_set.find(kid)
        if key is None:
            raise InvalidTokenError(Reason.UNKNOWN_KEY)
        if key.algorithm != algorithm:
            raise InvalidTokenError(Reason.KEY_ALGORITHM_MISMATCH)
        if not key.verifies(unverified.signing_input, unverified.signature):
            raise InvalidTokenError(Reason.BAD_SIGNATURE)
        return contents

    def _check_header(self, header: Mapping[str, object]) -> tuple[str, str]:
        """Give algorithm and kid. Members that name keys (jku, jwk, x5u, x5c) are not looked at."""
        named = header.get("alg")
        algorithm = canonical_algorithm(named) if isinstance(named, str) else None
        if algorithm not in self._policy.algorithms:
            raise InvalidTokenError(Reason.ALGORITHM_NOT_ALLOWED)
        # We understand no extension, so any `crit` is one too many; an empty one, or one that
        # names registered members, is malformed besides (RFC 7515 section 4.1.11). `b64` may only
        # come with `crit` (RFC 7797 section 6).
        if "crit" in header or "b64" in header:
            raise InvalidTokenError(Reason.CRITICAL_HEADER)
        if _token_type(header) not in _TOKEN_TYPES[self._policy.profile]:
            raise InvalidTokenError(Reason.WRONG_TYPE)
        kid = header.get("kid")
        if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH:
            raise InvalidTokenError(Reason.BAD_KEY_ID)
        return algorithm, kid

    def _check_claims(self, unverified: UnverifiedToken, kid: str) -> AccessToken:
        claims = unverified.unverified_claims
        policy = self._policy
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or issuer not in policy.issuers:
            raise InvalidTokenError(Reason.WRONG_ISSUER)
        audiences = _audiences(claims.get("aud"))
        if policy.audiences.isdisjoint(audiences):
            raise InvalidTokenError(Reason.WRONG_AUDIENCE)
        issued_at, expires_at = self._check_times(claims)
        if any(not isinstance(claims.get(name), str) for name in _PROFILE_CLAIMS[policy.profile]):
            raise InvalidTokenError(Reason.MISSING_CLAIM)
        if "cnf" in claims:
            # Bound to a key whose proof a Bearer request does not bring (RFC 9449 section 7.2).
            raise InvalidTokenError(Reason.KEY_BOUND)
        return AccessToken(
            issuer=issuer,
            subject=_subject(claims.get("sub")),
            audiences=audiences,
            issued_at=issued_at,
            expires_at=expires_at,
            key_id=kid,
            scopes=_scopes(claims),
            claims=MappingProxyType(claims),
        )

    def _check_times(self, claims: Mapping[str, object]) -> tuple[float, float]:
        now, leeway = self._now(), self._policy.leeway
        expires_at = _numeric_date(claims.get("exp"))
        issued_at = _numeric_date(claims.get("iat"))
        if expires_at <= now - leeway:
            raise InvalidTokenError(Reason.EXPIRED)
        if issued_at > now + leeway:
            raise InvalidTokenError(Reason.NOT_YET_VALID)
        if "nbf" in claims and _numeric_date(claims["nbf"]) > now + leeway:
            raise InvalidTokenError(Reason.NOT_YET_VALID)
        if not 0 <= expires_at - issued_at <= self._policy.max_lifetime:
            raise InvalidTokenError(Reason.LIFETIME_TOO_LONG)
        return issued_at, expires_at


def _token_type(header: Mapping[str, object]) -> str | None:
    """Give `typ` in lower case and without `application/` (RFC 7515 section 4.1.9)."""
    token_type = header.get("typ")
    if "typ" not in header:
        return None
    if not isinstance(token_type, str):
        raise InvalidTokenError(Reason.WRONG_TYPE)
    return token_type.lower().removeprefix("application/")


def _audiences(value: object) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset({value})
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return frozenset(value)
    raise InvalidTokenError(Reason.WRONG_AUDIENCE)


def _numeric_date(value: object) -> float:
    # bool is an int to Python and a mistake in a token; 1e400 has become infinity by now.
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
    # isprintable refuses control characters and lone surrogates; a user's name for themselves is
    # not normalized: what differs by one code point is another user.
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
