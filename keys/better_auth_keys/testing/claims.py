"""The claims of Better Auth's tokens, as its plugins write them."""

from typing import Final

LIFETIME: Final = 900
"""Seconds for which Better Auth's tokens are valid by default."""


def session_claims(issuer: str, audience: str, sub: str, now: float) -> dict[str, object]:
    """Return the claims of a session token of the jwt plugin: the user, and no scope."""
    return {
        "id": sub,
        "name": sub.title(),
        "email": f"{sub}@example.com",
        "emailVerified": True,
        **_common(issuer, audience, sub, now),
    }


def oauth_claims(issuer: str, audience: str, sub: str, now: float) -> dict[str, object]:
    """Return the claims of an OAuth access token of the oauth-provider plugin (RFC 9068)."""
    return {
        "azp": "client",
        "client_id": "client",
        "jti": f"{sub}-{now:.3f}",
        "sid": f"session of {sub}",
        "scope": "openid",
        **_common(issuer, audience, sub, now),
    }


def changed(claims: dict[str, object], changes: dict[str, object]) -> dict[str, object]:
    """Return claims with changes; the value `...` removes a claim."""
    merged = {**claims, **changes}
    return {name: value for name, value in merged.items() if value is not ...}


def _common(issuer: str, audience: str, sub: str, now: float) -> dict[str, object]:
    issued_at = int(now)
    return {
        "iss": issuer,
        "aud": audience,
        "sub": sub,
        "iat": issued_at,
        "exp": issued_at + LIFETIME,
    }
