"""The main purpose, end to end: with Better Auth's tokens, users reach only their own tasks.

The tests run in order on one system. The last ones stop it.
"""

import asyncio
import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest
from joserfc import jws

from better_auth_keys import Signer
from tests.end_to_end.conftest import ROOT, Stack
from tests.scripts.waiting import refused_within_a_second

pytestmark = pytest.mark.slow

PATH = "/api/tasks"
REQUEST_SECONDS = 30


class Person:
    """A person with an account at the real Better Auth, and their JWT."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.http = httpx.Client(timeout=30, trust_env=False)
        self.api = stack.api
        signed_up = self.http.post(
            f"{stack.web}/api/auth/sign-up/email",
            json={"name": name, "email": f"{name}@example.com", "password": "correct horse"},
        )
        assert signed_up.status_code == 200, signed_up.text
        self.id: str = signed_up.json()["user"]["id"]
        self.session: str = signed_up.headers["set-auth-token"]
        # Like a client without cookies: the session's token fetches the JWT.
        self.http.cookies.clear()
        answer = self.http.get(
            f"{stack.web}/api/auth/token", headers={"Authorization": f"Bearer {self.session}"}
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
    token = jws.extract_compact(alice.token.encode())
    assert token.headers()["alg"] == "EdDSA"
    claims = json.loads(token.payload)
    assert (claims["iss"], claims["aud"]) == (stack.web, stack.api)
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


def test_client_without_a_browser_registers_logs_in_refreshes_and_logs_out(stack: Stack) -> None:
    accounts = f"{stack.api}/api/auth"
    with httpx.Client(timeout=30, trust_env=False) as http:
        body = {"name": "Carol", "email": "carol@example.com", "password": "correct horse"}
        made = http.post(f"{accounts}/register", json=body)
        assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
        assert made.json()["user"]["email"] == body["email"]
        assert "set-cookie" not in made.headers
        again = http.post(f"{accounts}/register", json=body)
        assert (again.status_code, again.json()["code"]) == (409, "account_exists")
        weak = http.post(f"{accounts}/register", json={**body, "password": "short"})
        assert (weak.status_code, weak.json()["errors"][0]["location"]) == (422, "body.password")
        no_address = http.post(f"{accounts}/register", json={**body, "email": "nonsense"})
        assert no_address.json()["errors"][0]["location"] == "body.email"

        login = {name: body[name] for name in ("email", "password")}
        session = http.post(f"{accounts}/login", json=login).json()
        wrong = http.post(f"{accounts}/login", json={**login, "password": "wrong horse"})
        nobody = http.post(f"{accounts}/login", json={**login, "email": "nobody@example.com"})
        for refused in (wrong, nobody):
            assert (refused.status_code, refused.json()["code"]) == (401, "invalid_credentials")
            assert refused.headers["WWW-Authenticate"].startswith("Bearer")

        refresh = {"refresh_token": session["refresh_token"]}
        fresh = http.post(f"{accounts}/refresh", json=refresh).json()
        tokens = [session["access_token"], fresh["access_token"]]
        other = made.json()["access_token"]
        assert {status(http, stack, token) for token in [*tokens, other]} == {200}

        assert http.post(f"{accounts}/logout", json=refresh).status_code == 204
        # On both processes and for every token of the session; the other session continues.
        asks = [partial(status, http, stack, token) for token in tokens]
        refused_within_a_second(*asks, times=5)
        assert {status(http, stack, other) for _ in range(10)} == {200}
        assert http.post(f"{accounts}/refresh", json=refresh).status_code == 401
        assert http.post(f"{accounts}/logout", json=refresh).status_code == 204

        # With the access token alone.
        bearer = {"Authorization": f"Bearer {other}"}
        assert http.post(f"{accounts}/logout", headers=bearer).status_code == 204
        ended = {"refresh_token": made.json()["refresh_token"]}
        assert http.post(f"{accounts}/refresh", json=ended).status_code == 401


def status(http: httpx.Client, stack: Stack, token: str) -> int:
    # A new connection: either process may accept it.
    headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
    return http.get(f"{stack.api}/api/auth/me", headers=headers).status_code


def test_operator_cuts_a_user_off_on_every_process_within_a_second(
    stack: Stack, home: Path
) -> None:
    victim, other = Person(stack, "mallory"), Person(stack, "trent")
    with httpx.Client(timeout=30, trust_env=False) as http:
        assert {status(http, stack, victim.token) for _ in range(10)} == {200}
        command = ["./scripts/ops", "--home", str(home), "revoke-tokens", "--subject", victim.id]
        subprocess.run(
            [*command, "--reason", "a test", "--execute"], cwd=ROOT, check=True, capture_output=True
        )
        refused_within_a_second(partial(status, http, stack, victim.token), times=10)
        assert {status(http, stack, other.token) for _ in range(10)} == {200}
        # The session has ended as well, so it gets no new token.
        refresh = {"refresh_token": victim.session}
        assert http.post(f"{stack.api}/api/auth/refresh", json=refresh).status_code == 401
    victim.http.close()
    other.http.close()


def test_many_people_log_in_at_once_and_nobody_gets_anothers_session(stack: Stack) -> None:
    async def everybody() -> None:
        async with httpx.AsyncClient(timeout=60, trust_env=False) as http:

            async def one(number: int) -> None:
                email = f"many-{number}@example.com"
                body = {"name": "Many", "email": email, "password": "correct horse"}
                made = await http.post(f"{stack.api}/api/auth/register", json=body)
                assert made.status_code == 201, made.text
                del body["name"]
                session = (await http.post(f"{stack.api}/api/auth/login", json=body)).json()
                bearer = {"Authorization": f"Bearer {session['access_token']}"}
                me = (await http.get(f"{stack.api}/api/auth/me", headers=bearer)).json()
                assert (session["user"]["email"], me["email"]) == (email, email)
                assert me["id"] == session["user"]["id"] == made.json()["user"]["id"]

            await asyncio.gather(*(one(number) for number in range(20)))

    asyncio.run(everybody())


def test_tokens_go_on_working_when_better_auth_is_killed(
    people: tuple[Person, Person], stack: Stack
) -> None:
    alice, _ = people
    statuses, slowest = asyncio.run(fifty_logins(stack, alice, lambda: kill_web(stack)))
    # Requests were served until the end; all later ones are told to try again.
    assert statuses <= {200, 503}
    assert 503 in statuses
    assert slowest < REQUEST_SECONDS + 2
    stack.wait_for("web ended", 20)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{stack.web}/api/auth/jwks", trust_env=False)
    assert alice.call("POST", PATH, {"title": "Still here"}).status_code == 201
    assert len(alice.call("GET", PATH).json()["items"]) == 1
    for path, body in (
        ("login", {"email": "alice@example.com", "password": "correct horse"}),
        ("refresh", {"refresh_token": alice.session}),
    ):
        refused = httpx.post(f"{stack.api}/api/auth/{path}", json=body, trust_env=False, timeout=30)
        assert (refused.status_code, refused.json()["code"]) == (503, "issuer_unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
    # The issuer cannot be asked about this key, so it is unknown, not invalid.
    claims = {"iss": stack.web, "aud": stack.api, "sub": alice.id}
    alice.token = Signer.generate().mint({**claims, **_times(alice.token)})
    answer = alice.call("GET", PATH)
    assert (answer.status_code, answer.json()["code"]) == (503, "key_set_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


def kill_web(stack: Stack) -> None:
    for process in stack.descendants():
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended after it was listed
            command = " ".join(process.cmdline())
            if "next.mjs" in command and "leash.py" not in command:
                process.send_signal(signal.SIGKILL)


async def fifty_logins(
    stack: Stack, alice: Person, kill: Callable[[], None]
) -> tuple[set[int], float]:
    """Log in fifty times at once, kill Better Auth meanwhile, and use tasks all the time."""
    body = {"email": "alice@example.com", "password": "correct horse"}
    bearer = {"Authorization": f"Bearer {alice.token}"}
    slowest = 0.0

    async with httpx.AsyncClient(timeout=60, trust_env=False) as http:

        async def login() -> int:
            nonlocal slowest
            began = time.monotonic()
            answer = await http.post(f"{stack.api}/api/auth/login", json=body)
            slowest = max(slowest, time.monotonic() - began)
            assert answer.headers["Content-Type"].startswith("application/")
            return answer.status_code

        logins = [asyncio.create_task(login()) for _ in range(50)]
        await asyncio.wait(logins, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.to_thread(kill)
        while not all(task.done() for task in logins):
            answer = await http.get(f"{stack.api}{PATH}", headers=bearer)
            assert answer.status_code == 200
        return {task.result() for task in logins}, slowest


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
