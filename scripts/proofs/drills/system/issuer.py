"""The issuer of the drills: a key set over HTTP that can change or be unavailable.

It answers every sign-in with 401.
"""

from typing import Final

from better_auth_keys import TokenKind
from better_auth_keys.testing import HttpIssuer, Reply, Request

_LIFETIME_SECONDS: Final = 7_200


def session_of(user: str) -> str:
    """Return the id of the one session that a user has."""
    return f"session of {user}"


class Issuer(HttpIssuer):
    """Signs tokens with the newest key, and publishes the keys of `signers`."""

    @property
    def fetches(self) -> int:
        """How often the keys were fetched."""
        return sum(request.method == "GET" for request in self.requests)

    def claims_of(self, sub: str, kind: TokenKind, now: float) -> dict[str, object]:
        """Return the claims of a token of the session `session_of(sub)`, valid for two hours."""
        claims = super().claims_of(sub, kind, now)
        return {**claims, "sid": session_of(sub), "exp": int(now) + _LIFETIME_SECONDS}

    async def answer(self, request: Request) -> Reply:
        """Refuse each sign-in; answer all else as any issuer does."""
        if request.method == "POST":
            self.requests.append(request)
            return Reply(401, b'{"code": "INVALID_EMAIL_OR_PASSWORD"}')
        return await super().answer(request)
