"""Better Auth's accounts over HTTP, as 1.7.25 answers with `requireSignature`."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from urllib.parse import unquote

from tests.simulators.issuer_server import Answer, IssuerServer, Received

SIGN_UP, SIGN_IN = "/api/auth/sign-up/email", "/api/auth/sign-in/email"
TOKEN, SIGN_OUT = "/api/auth/token", "/api/auth/sign-out"
_SECRET = b"the issuer's own secret"


def signed(token: str) -> str:
    """Return a session's token as `set-auth-token` has it."""
    signature = hmac.digest(_SECRET, token.encode(), hashlib.sha256)
    return f"{token}.{base64.b64encode(signature).decode()}"


def signed_in(user: object, token: str) -> Answer:
    """Return the answer to a sign-in: the bare token in the body, the signed one in the header."""
    body = {"redirect": False, "token": token, "user": user}
    cookie = f"better-auth.session_token={signed(token)}; Path=/; HttpOnly"
    return Answer(body, headers={"Set-Auth-Token": signed(token), "Set-Cookie": cookie})


class AccountsServer(IssuerServer):
    """A Better Auth in which every e-mail address has an account, with any password.

    `jwt_of(name, session_id)` returns an access token; the name is what is before the @.
    """

    def __init__(self, jwt_of: Callable[[str, str], str]) -> None:
        super().__init__()
        self._jwt_of = jwt_of
        self.sessions: dict[str, tuple[str, str]] = {}
        """The sessions in the table: token -> (name, id)."""

    def reply_to(self, received: Received) -> Answer:
        """Answer as Better Auth would, unless `answers` has another answer for the path."""
        assert "cookie" not in received.headers
        if received.path in self.answers:
            return super().reply_to(received)
        if received.path in {SIGN_IN, SIGN_UP}:
            return self._sign_in(received.body["email"])
        token = self._token_of(received.headers.get("authorization", ""))
        if received.path == SIGN_OUT:
            # Whether or not there is such a session.
            self.sessions.pop(token or "", None)
            return Answer({"success": True})
        if received.path == TOKEN and token in self.sessions:
            return Answer({"token": self._jwt_of(*self.sessions[token])})
        return Answer({"message": "Unauthorized", "code": "UNAUTHORIZED"}, 401)

    def _sign_in(self, email: str) -> Answer:
        name, token = email.partition("@")[0], secrets.token_hex(16)
        self.sessions[token] = name, f"id-{secrets.token_hex(8)}"
        return signed_in({"id": name, "name": name, "email": email, "emailVerified": True}, token)

    @staticmethod
    def _token_of(authorization: str) -> str | None:
        presented = unquote(authorization.removeprefix("Bearer "))
        token = presented.partition(".")[0]
        return token if hmac.compare_digest(presented, signed(token)) else None
