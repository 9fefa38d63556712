"""The main job, for real: Better Auth's tokens in, only your own tasks out.

The tests run in their order, on one system, and at its last: they end it.
"""

import contextlib
import json
import signal
from collections.abc import Iterator

import httpx
import psutil
import pytest
from joserfc import jws

from keys import Signer
from tests.end_to_end.conftest import Stack

PATH = "/api/tasks"


class Person:
    """Somebody with an account at the real Better Auth, and the JWT it gave them."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.http = httpx.Client(timeout=30, trust_env=False)
        self.api = stack.api
        signed_up = self.http.post(
            f"{stack.web}/api/auth/sign-up/email",
            json={"name": name, "email": f"{name}@example.com", "password": "correct horse"},
        )
        assert signed_up.status_code == 200, signed_up.text
        self.id: str = signed_up.json()["user"]["id"]
        session = signed_up.json()["token"]
        # As a client without cookies would: the session's token fetches the JWT.
        self.http.cookies.clear()
        answer = self.http.get(
            f"{stack.web}/api/auth/token", headers={"Authorization": f"Bearer {session}"}
        )
        self.token: str = answer.json()["token"]

    def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.http.request(method, f"{self.api}{path}", headers=headers, json=body)


@pytest.fixture(scope="module")
def people(stack: Stack) -> Iterator[tuple[Person, Person]]:
    alice, bob = Person(stack, "alice"), Person(stack, "bob")
    yield alice, bob
    alice.http.close()
    bob.http.close()


def test_token_is_signed_with_ed25519_and_speaks_for_the_user(
    people: tuple[Person, Person], stack: Stack
) -> None:
    alice, _ = people
    header = jws.extract_compact(alice.token.encode()).headers()
    assert header["alg"] == "EdDSA"
    me = alice.call("GET", "/api/auth/me").json()
    assert (me["id"], me["name"], me["email"]) == (alice.id, "alice", "alice@example.com")
    assert me["issuer"] == stack.web


def test_people_keep_tasks_that_nobody_else_reaches(people: tuple[Person, Person]) -> None:
    alice, bob = people
    made = alice.call("POST", PATH, {"title": "Hers", "priority": 2})
    assert made.status_code == 201
    path = made.headers["Location"]
    assert alice.call("GET", path).json() == made.json()
    changed = alice.call("PATCH", path, {"completed": True}).json()
    assert (changed["completed"], changed["version"]) == (True, 2)
    replaced = alice.call("PUT", path, {"title": "Still hers"}).json()
    assert (replaced["title"], replaced["priority"]) == ("Still hers", 0)

    for method, body in (
        ("GET", None),
        ("PUT", {"title": "His now"}),
        ("PATCH", {"title": "His now"}),
        ("DELETE", None),
    ):
        assert bob.call(method, path, body).status_code == 404, method
    assert bob.call("GET", PATH).json()["items"] == []
    assert alice.call("GET", PATH).json()["items"] == [replaced]

    assert alice.call("DELETE", path).status_code == 204
    assert alice.call("GET", path).status_code == 404
    assert alice.call("GET", PATH).json()["items"] == []


def test_browser_of_the_web_app_may_call_the_service(
    people: tuple[Person, Person], stack: Stack
) -> None:
    preflight = httpx.options(
        f"{stack.api}{PATH}",
        headers={
            "Origin": stack.web,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
        trust_env=False,
    )
    assert preflight.headers["Access-Control-Allow-Origin"] == stack.web
    assert people


def test_pages_of_the_web_app_are_served(stack: Stack) -> None:
    for path in ("/", "/sign-in", "/sign-up"):
        assert httpx.get(f"{stack.web}{path}", timeout=60, trust_env=False).status_code == 200


def test_tokens_go_on_working_when_better_auth_is_killed(
    people: tuple[Person, Person], stack: Stack
) -> None:
    alice, _ = people
    for process in stack.descendants():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended since it was listed
            command = " ".join(process.cmdline())
            if "next.mjs" in command and "leash.py" not in command:
                process.send_signal(signal.SIGKILL)
    stack.wait_for("web ended", 20)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{stack.web}/api/auth/jwks", trust_env=False)
    assert alice.call("POST", PATH, {"title": "Still here"}).status_code == 201
    assert len(alice.call("GET", PATH).json()["items"]) == 1
    # A key that nobody can be asked about: not invalid, unknown.
    claims = {"iss": stack.web, "aud": stack.web, "sub": alice.id}
    alice.token = Signer.generate().mint({**claims, **_times(alice.token)})
    answer = alice.call("GET", PATH)
    assert (answer.status_code, answer.json()["code"]) == (503, "key_set_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


def test_terminating_it_leaves_nothing_running(stack: Stack) -> None:
    below = stack.descendants()
    assert below
    stack.process.send_signal(signal.SIGTERM)
    assert stack.process.wait(30) == 0
    _, alive = psutil.wait_procs(below, timeout=5)
    assert alive == []


def _times(token: str) -> dict[str, object]:
    payload = json.loads(jws.extract_compact(token.encode()).payload)
    return {name: payload[name] for name in ("iat", "exp")}
