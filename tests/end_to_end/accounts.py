"""People with an account at the real Better Auth, and the ways in which they use a session."""

from collections.abc import Mapping
from uuid import uuid4

import httpx

from tests.end_to_end.conftest import Stack

PASSWORD = "correct horse battery"
WAYS = ("service", "get-session", "cookie", "list-sessions", "token")


class Someone:
    """A person with an account and one session."""

    def __init__(self, stack: Stack) -> None:
        self.web, self.api = f"{stack.web}/api/auth", f"{stack.api}/api/auth"
        self.email = f"{uuid4()}@example.com"
        self.sign("up", name="Someone")

    def sign(self, way: str, **further: str) -> None:
        """Sign up or in."""
        body = {"email": self.email, "password": PASSWORD, **further}
        answer = self.send("POST", f"{self.web}/sign-{way}/email", json=body)
        assert answer.status_code == 200, answer.text
        self.user_id: str = answer.json()["user"]["id"]
        self.bare: str = answer.json()["token"]
        self.signed: str = answer.headers["set-auth-token"]
        self.cookie: str = answer.headers["set-cookie"].partition(";")[0]

    @staticmethod
    def send(
        method: str,
        url: str,
        bearer: str | None = None,
        *,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request as a client that keeps no cookies."""
        sent = {**(headers or {}), **({"Authorization": f"Bearer {bearer}"} if bearer else {})}
        with httpx.Client(timeout=30, trust_env=False) as client:
            return client.request(method, url, headers=sent, json=json)

    def fetch_jwt(self, bearer: str | None = None) -> httpx.Response:
        return self.send("GET", f"{self.web}/token", bearer or self.signed)

    def uses(self, *ways: str) -> dict[str, bool]:
        """Use the session in these ways, or all. Return for each whether the session was found."""
        return {way: self._finds(way) for way in ways or WAYS}

    def _finds(self, way: str) -> bool:
        get_session = f"{self.web}/get-session"
        if way == "service":
            body = {"refresh_token": self.signed}
            return self.send("POST", f"{self.api}/refresh", json=body).is_success
        if way == "cookie":
            answer = self.send("GET", get_session, headers={"Cookie": self.cookie})
            return answer.json() is not None
        answer = self.send("GET", f"{self.web}/{way}", self.signed)
        return answer.is_success and answer.json() is not None
