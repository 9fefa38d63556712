"""Check the header of a token (RFC 7515, RFC 8725, RFC 9068), before its claims and any key."""

from collections.abc import Mapping
from typing import Final

from better_auth_keys.errors import InvalidTokenError, Reason
from better_auth_keys.tokens.jwk import MAX_KID_LENGTH, canonical_algorithm
from better_auth_keys.tokens.policy import TokenKind, VerificationPolicy

_KINDS: Final[Mapping[str | None, TokenKind]] = {
    # Better Auth sets no `typ` in session tokens; other JWT libraries set JWT.
    None: "session",
    "jwt": "session",
    "at+jwt": "oauth",
}


def check_header(
    unverified_header: Mapping[str, object], policy: VerificationPolicy
) -> tuple[str, str, TokenKind]:
    """Return the algorithm, the kid and the kind of token. Raises `InvalidTokenError`.

    Members that name keys (jku, jwk, x5u, x5c) are ignored.
    """
    header = unverified_header
    named = header.get("alg")
    algorithm = canonical_algorithm(named) if isinstance(named, str) else None
    if algorithm not in policy.algorithms:
        raise InvalidTokenError(Reason.ALGORITHM_NOT_ALLOWED)
    # No extension is supported, so any `crit` is refused; an empty one, or one that names
    # registered members, is malformed as well (RFC 7515 section 4.1.11). `b64` needs `crit`
    # (RFC 7797 section 6).
    if "crit" in header or "b64" in header:
        raise InvalidTokenError(Reason.CRITICAL_HEADER)
    kind = _KINDS.get(_token_type(header))
    if kind is None or not policy.issuers_of(kind):
        raise InvalidTokenError(Reason.WRONG_TYPE)
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH:
        raise InvalidTokenError(Reason.BAD_KEY_ID)
    return algorithm, kid, kind


def _token_type(header: Mapping[str, object]) -> str | None:
    """Return `typ` in lower case, without `application/` (RFC 7515 section 4.1.9)."""
    token_type = header.get("typ")
    if "typ" not in header:
        return None
    if not isinstance(token_type, str):
        raise InvalidTokenError(Reason.WRONG_TYPE)
    return token_type.lower().removeprefix("application/")
