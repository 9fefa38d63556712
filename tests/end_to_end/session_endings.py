"""The ways in which a session ends, at the real Better Auth and elsewhere.

The table of decision 0046 has a row for each of them, with the same name.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import httpx
from joserfc import jws

from tests.end_to_end.accounts import PASSWORD, Someone
from tests.end_to_end.conftest import ROOT, Sql, Stack
from tests.scripts.waiting import refused_within_a_second

NEW_PASSWORD: Final = "another battery staple"
# Either process may accept a new connection.
TRIES: Final = 10


@dataclass(frozen=True)
class Session:
    """A session, with one of its access tokens."""

    signed: str
    bare: str
    token: str
    id: str


class Scene:
    """A user with two sessions, an administrator, and the two ways to Better Auth."""

    def __init__(self, stack: Stack, sql: Sql, home: Path, plugins: str, admin: Someone) -> None:
        self.stack, self.sql, self.home = stack, sql, home
        self.plugins, self.admin = plugins, admin
        self.base = f"{stack.web}/api/auth"
        self.user = Someone(stack)
        self.mine = self.held(self.user.signed, self.user.bare)
        self.user.sign("in")
        self.other = self.held(self.user.signed, self.user.bare)

    def held(self, signed: str, bare: str) -> Session:
        """Fetch an access token from web/."""
        token = self.user.fetch_jwt(signed).json()["token"]
        claims = json.loads(jws.extract_compact(token.encode()).payload)
        return Session(signed, bare, token, claims["sid"])

    def post(self, path: str, body: object = None, *, bearer: str | None = None) -> httpx.Response:
        """Call an endpoint of Better Auth, as the first session if no other is given."""
        return self.user.send("POST", f"{self.base}{path}", bearer or self.mine.signed, json=body)

    def administer(self, path: str, **body: object) -> None:
        self.post(f"/admin/{path}", body, bearer=self.admin.signed).raise_for_status()

    def operate(self, *arguments: str) -> None:
        """Run revoke-tokens."""
        command = ["./scripts/ops", "--home", str(self.home), "revoke-tokens", *arguments]
        subprocess.run(
            [*command, "--reason", "a test", "--execute"], cwd=ROOT, check=True, capture_output=True
        )

    @contextmanager
    def browser(self, someone: Someone) -> Iterator[tuple[httpx.Client, httpx.Response]]:
        """Sign in as a browser does, at the Better Auth with plugins; return the answer, too."""
        with httpx.Client(
            base_url=f"{self.plugins}/api/auth",
            headers={"Origin": self.plugins},
            timeout=30,
            trust_env=False,
        ) as client:
            body = {"email": someone.email, "password": PASSWORD}
            yield client, client.post("/sign-in/email", json=body).raise_for_status()

    def statuses(self, *sessions: Session) -> dict[str, set[int]]:
        """Return the statuses with which the service's processes answer each session's token."""
        with httpx.Client(trust_env=False, timeout=30) as http:
            return {
                session.id: {self._status(http, session) for _ in range(TRIES)}
                for session in sessions
            }

    def until_refused(self, *sessions: Session) -> None:
        """Wait until the service's processes refuse the sessions' tokens: for a second at most."""
        with httpx.Client(trust_env=False, timeout=30) as http:
            asks = [partial(self._status, http, session) for session in sessions]
            refused_within_a_second(*asks, times=TRIES)

    def _status(self, http: httpx.Client, session: Session) -> int:
        headers = {"Authorization": f"Bearer {session.token}", "Connection": "close"}
        return http.get(f"{self.stack.api}/api/auth/me", headers=headers).status_code

    def listed(self, *sessions: Session) -> list[str]:
        query = "SELECT value FROM public.token_revocations WHERE value = ANY($1)"
        return [row["value"] for row in self.sql("auth", query, [one.id for one in sessions])]


End = Callable[[Scene], list[Session]]


def ends(
    path: str, which: str, body: Callable[[Scene], object] = lambda _scene: {}
) -> tuple[str, End]:
    """Return a case in which the user calls an endpoint that ends the named sessions."""

    def end(scene: Scene) -> list[Session]:
        scene.post(path, body(scene)).raise_for_status()
        return [getattr(scene, name) for name in which.split()]

    return f"POST {path}", end


def admin_ends(
    path: str, which: str, body: Callable[[Scene], dict[str, object]]
) -> tuple[str, End]:
    """Return a case in which an administrator ends the named sessions."""

    def end(scene: Scene) -> list[Session]:
        scene.administer(path, **body(scene))
        return [getattr(scene, name) for name in which.split()]

    return f"POST /admin/{path}", end


def user_of(scene: Scene) -> dict[str, object]:
    return {"userId": scene.user.user_id}


def reset_password(scene: Scene) -> list[Session]:
    body = {"email": scene.user.email, "redirectTo": f"{scene.plugins}/reset"}
    scene.post("/request-password-reset", body).raise_for_status()
    query = "SELECT identifier FROM verification WHERE value = $1"
    (row,) = scene.sql("auth", query, scene.user.user_id)
    token = row["identifier"].removeprefix("reset-password:")
    scene.post("/reset-password", {"token": token, "newPassword": NEW_PASSWORD}).raise_for_status()
    return [scene.mine, scene.other]


def stop_impersonating(scene: Scene) -> list[Session]:
    with scene.browser(scene.admin) as (browser, _):
        begun = browser.post("/admin/impersonate-user", json=user_of(scene)).raise_for_status()
        session = scene.held(begun.headers["set-auth-token"], begun.json()["session"]["token"])
        assert scene.statuses(session) == {session.id: {200}}
        browser.post("/admin/stop-impersonating", json={}).raise_for_status()
    return [session]


def revoke_on_device(scene: Scene) -> list[Session]:
    with scene.browser(scene.user) as (browser, signed_in):
        session = scene.held(signed_in.headers["set-auth-token"], signed_in.json()["token"])
        body = {"sessionToken": session.bare}
        browser.post("/multi-session/revoke", json=body).raise_for_status()
    return [session]


def log_out(scene: Scene) -> list[Session]:
    url = f"{scene.stack.api}/api/auth/logout"
    scene.user.send("POST", url, scene.mine.token).raise_for_status()
    return [scene.mine]


def log_out_with_the_refresh_token(scene: Scene) -> list[Session]:
    url, body = f"{scene.stack.api}/api/auth/logout", {"refresh_token": scene.mine.signed}
    scene.user.send("POST", url, json=body).raise_for_status()
    return [scene.mine]


def revoke_session_as_operator(scene: Scene) -> list[Session]:
    scene.operate("--session", scene.other.id)
    return [scene.other]


def revoke_user_as_operator(scene: Scene) -> list[Session]:
    scene.operate("--subject", scene.user.user_id)
    return [scene.mine, scene.other]


def delete_session_by_hand(scene: Scene) -> list[Session]:
    scene.sql("auth", "DELETE FROM session WHERE id = $1", scene.other.id)
    return [scene.other]


def delete_user_by_hand(scene: Scene) -> list[Session]:
    scene.sql("auth", 'DELETE FROM "user" WHERE id = $1', scene.user.user_id)
    return [scene.mine, scene.other]


def changed_password(_scene: Scene) -> object:
    words = {"currentPassword": PASSWORD, "newPassword": NEW_PASSWORD}
    return {**words, "revokeOtherSessions": True}


# What web/ offers. These are tried at web/, and at the Better Auth with plugins, too.
OFFERED: Final = dict(
    [
        ends("/sign-out", "mine"),
        ends("/revoke-session", "other", lambda scene: {"token": scene.other.bare}),
        ends("/revoke-sessions", "mine other"),
        ends("/revoke-other-sessions", "other"),
        ends("/change-password", "mine other", changed_password),
    ]
)
# What web/ does not offer.
PLUGGED: Final = dict(
    [
        ("POST /reset-password", reset_password),
        ends("/delete-user", "mine other", lambda _scene: {"password": PASSWORD}),
        ends("/two-factor/enable", "mine", lambda _scene: {"password": PASSWORD}),
        ("POST /multi-session/revoke", revoke_on_device),
        admin_ends("ban-user", "mine other", user_of),
        admin_ends(
            "update-user", "mine other", lambda scene: {**user_of(scene), "data": {"banned": True}}
        ),
        admin_ends(
            "revoke-user-session", "other", lambda scene: {"sessionToken": scene.other.bare}
        ),
        admin_ends("revoke-user-sessions", "mine other", user_of),
        admin_ends("remove-user", "mine other", user_of),
        ("POST /admin/stop-impersonating", stop_impersonating),
    ]
)
# Not by Better Auth, so its hook cannot fire.
ELSEWHERE: Final = {
    "POST /api/auth/logout (access token)": log_out,
    "POST /api/auth/logout (refresh token)": log_out_with_the_refresh_token,
    "revoke-tokens --session": revoke_session_as_operator,
    "revoke-tokens --subject": revoke_user_as_operator,
    "DELETE FROM session": delete_session_by_hand,
    'DELETE FROM "user"': delete_user_by_hand,
}
