"""Tokens like those of Better Auth 1.7 with its oauth-provider plugin."""

from collections.abc import Mapping
from typing import Final

from better_auth_keys import VerificationPolicy
from tests.keys.signed_tokens import NOW, ORIGIN

OAUTH_ISSUER: Final = f"{ORIGIN}/api/auth"
API: Final = "https://api.example.com"
BOTH: Final = VerificationPolicy(ORIGIN, [ORIGIN, API], oauth_issuers=OAUTH_ISSUER)
ACCESS: Final[Mapping[str, object]] = {"typ": "at+jwt"}


def oauth_claims(**changes: object) -> dict[str, object]:
    """Return the claims of an access token of the oauth-provider; `...` removes one."""
    good: dict[str, object] = {
        "sub": "alice",
        "aud": API,
        "client_id": "app",
        "azp": "app",
        "scope": "tasks:read tasks:write",
        "sid": "session-1",
        "iss": OAUTH_ISSUER,
        "iat": NOW - 10,
        "exp": NOW + 3590,
        "jti": "1",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def id_token_claims(**changes: object) -> dict[str, object]:
    """Return the claims of an ID token of the oauth-provider. It has no `typ`."""
    good: dict[str, object] = {
        "auth_time": NOW - 60,
        "acr": "0",
        "at_hash": "x",
        "iss": OAUTH_ISSUER,
        "sub": "alice",
        "aud": "app",
        "nonce": "n",
        "iat": NOW - 10,
        "exp": NOW + 3590,
    }
    return {**good, **changes}
