"""The issuer of the drills: a key set over HTTP that can change or be unavailable.

It answers every sign-in with 401.
"""

import asyncio
import json
import time
from typing import Final

from better_auth_keys import JWKS_PATH, Signer

_LIFETIME_SECONDS: Final = 7_200


def session_of(user: str) -> str:
    """Return the id of the one session that a user has."""
    return f"session of {user}"


class Issuer:
    """Signs tokens with the newest key, and publishes the keys of `signers`."""

    def __init__(self) -> None:
        self.signers = [Signer.generate("EdDSA")]
        self.fetches = 0
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The issuer's origin."""
        return f"http://127.0.0.1:{self.port}"

    def token(
        self,
        user: str,
        *,
        session: str | None = None,
        expires_at: int | None = None,
        signer: Signer | None = None,
    ) -> str:
        """Sign an access token for a user; without `session`, of the session `session_of(user)`."""
        now = int(time.time())
        claims: dict[str, object] = {
            "iss": self.url,
            "aud": self.url,
            "sub": user,
            "sid": session or session_of(user),
            "email": f"{user}@example.com",
            "emailVerified": True,
            "iat": now,
            "exp": now + _LIFETIME_SECONDS if expires_at is None else expires_at,
        }
        return (signer or self.signers[-1]).mint(claims)

    async def start(self) -> None:
        """Listen. After `stop`, the port is the same as before."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _answer(self, method: str, path: str) -> tuple[bytes, bytes]:
        if method == "POST":  # a sign-in
            return b"401 Unauthorized", b'{"code": "INVALID_EMAIL_OR_PASSWORD"}'
        if path != JWKS_PATH:
            return b"404 Not Found", b"{}"
        self.fetches += 1
        keys = [signer.public_jwk() for signer in self.signers]
        return b"200 OK", json.dumps({"keys": keys}).encode()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            status, body = self._answer(*head.decode("latin-1").split(" ", 2)[:2])
            writer.write(
                b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (status, len(body), body)
            )
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
