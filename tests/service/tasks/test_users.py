"""Three users with random operations over HTTP, compared with a model of what each may see."""

import asyncio
import time
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from better_auth_keys import Signer
from scripts.proofs.in_process import running
from service.app import create_app
from service.settings.model import Settings
from tests.service.conftest import ORIGIN

PATH = "/api/tasks"
ABSENT = UUID("0190f3a2-7b1c-7d3e-8f00-000000000000")
USERS = ("ann", "bea", "cat")

users = st.sampled_from(USERS)
# From few values, so that users share them and filters match.
titles = st.sampled_from(["Tea", "tea 100%", "a_b", "\U0001f600", "x" * 200])
bodies = st.fixed_dictionaries(
    {"title": titles},
    optional={
        "description": st.sampled_from([None, "tea", "%"]),
        "completed": st.booleans(),
        "priority": st.integers(0, 3),
        "due_at": st.sampled_from([None, "2030-01-01T00:00:00Z", "2031-01-01T00:00:00Z"]),
    },
)
patches = st.fixed_dictionaries(
    {}, optional={"title": titles, "completed": st.booleans(), "description": st.none()}
)
picks = st.integers(0, 30)
keys = st.sampled_from(["k1", "k2"])


class Users(RuleBasedStateMachine):
    """The model knows every task of every user, its owner, and whether it is deleted."""

    runner: asyncio.Runner
    client: httpx.AsyncClient
    signer: Signer
    database: "asyncpg.Connection[asyncpg.Record]"
    runs = 0

    def __init__(self) -> None:
        super().__init__()
        Users.runs += 1
        now = int(time.time())
        self.headers = {}
        self.subjects: dict[str, str] = {}
        for user in USERS:
            # Owners of this run only, because all tests share the database.
            subject = self.subjects[user] = f"{user} of run {Users.runs}"
            token = self.signer.mint(
                {"iss": ORIGIN, "aud": ORIGIN, "sub": subject, "iat": now, "exp": now + 900}
            )
            self.headers[user] = {"Authorization": f"Bearer {token}"}
        self.live: dict[str, dict[str, dict[str, Any]]] = {user: {} for user in USERS}
        self.gone: dict[str, dict[str, dict[str, Any]]] = {user: {} for user in USERS}
        self.replies: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]] = {}

    def ask(self, user: str, method: str, path: str = "", **more: Any) -> httpx.Response:
        headers = {**self.headers[user], **more.pop("headers", {})}
        request = self.client.request(method, PATH + path, headers=headers, **more)
        answer = self.runner.run(request)
        assert answer.status_code < 500
        return answer

    def pick(self, number: int) -> tuple[str, str] | None:
        """Return the owner and the id of any existing or deleted task."""
        known = [
            (user, task_id)
            for tasks in (self.live, self.gone)
            for user in USERS
            for task_id in tasks[user]
        ]
        return known[number % len(known)] if known else None

    def settle(
        self, user: str, answer: httpx.Response, task_id: str, absent: httpx.Response
    ) -> bool:
        """Check that anything but a user's own live task looks like a missing one."""
        if task_id in self.live[user]:
            return True
        ours, nobodys = ({**reply.json(), "request_id": 0} for reply in (answer, absent))
        assert (answer.status_code, ours) == (404, nobodys)
        return False

    @rule(user=users, body=bodies)
    def create(self, user: str, body: dict[str, Any]) -> None:
        task = self.ask(user, "POST", json=body).json()
        self.live[user][task["id"]] = task
        assert {name: task[name] for name in body} == body

    @rule(user=users, body=bodies, key=keys)
    def create_once(self, user: str, body: dict[str, Any], key: str) -> None:
        answer = self.ask(user, "POST", json=body, headers={"Idempotency-Key": key})
        full = {"description": None, "completed": False, "priority": 0, "due_at": None, **body}
        sent, reply = self.replies.setdefault((user, key), (full, answer.json()))
        if sent != full:
            assert answer.status_code == 422
            return
        assert (answer.status_code, answer.json()) == (201, reply)
        if "Idempotency-Replayed" not in answer.headers:
            self.live[user][reply["id"]] = reply

    @rule(user=users, number=picks)
    def read(self, user: str, number: int) -> None:
        if (known := self.pick(number)) is not None:
            answer = self.ask(user, "GET", f"/{known[1]}")
            if self.settle(user, answer, known[1], self.ask(user, "GET", f"/{ABSENT}")):
                assert answer.json() == self.live[user][known[1]]

    @rule(user=users, number=picks, body=patches, stale=st.booleans())
    def change(self, user: str, number: int, body: dict[str, Any], *, stale: bool) -> None:
        if (known := self.pick(number)) is not None:
            headers = {"If-Match": '"v0"'} if stale else {}
            answer, absent = (
                self.ask(user, "PATCH", f"/{task_id}", json=body, headers=headers)
                for task_id in (known[1], ABSENT)
            )
            if not self.settle(user, answer, known[1], absent):
                return
            before = self.live[user][known[1]]
            if stale:
                assert answer.status_code == 412
                return
            after = answer.json()
            assert after["version"] == before["version"] + bool(body)
            untouched = set(before) - set(body) - {"version", "updated_at", "completed_at"}
            assert all(after[name] == before[name] for name in untouched)
            assert all(after[name] == body[name] for name in body)
            self.live[user][known[1]] = after

    @rule(user=users, number=picks, body=bodies)
    def replace(self, user: str, number: int, body: dict[str, Any]) -> None:
        if (known := self.pick(number)) is not None:
            answer, absent = (
                self.ask(user, "PUT", f"/{task_id}", json=body) for task_id in (known[1], ABSENT)
            )
            if self.settle(user, answer, known[1], absent):
                assert answer.status_code == 200
                self.live[user][known[1]] = answer.json()

    @rule(user=users, number=picks)
    def delete(self, user: str, number: int) -> None:
        if (known := self.pick(number)) is not None:
            answer, absent = (
                self.ask(user, "DELETE", f"/{task_id}") for task_id in (known[1], ABSENT)
            )
            if self.settle(user, answer, known[1], absent):
                assert answer.status_code == 204
                self.gone[user][known[1]] = self.live[user].pop(known[1])

    @rule(user=users, number=picks)
    def restore(self, user: str, number: int) -> None:
        if (known := self.pick(number)) is not None:
            answer, absent = (
                self.ask(user, "POST", f"/{task_id}/restore") for task_id in (known[1], ABSENT)
            )
            if known[1] in self.gone[user]:
                assert answer.status_code == 200
                del self.gone[user][known[1]]
                self.live[user][known[1]] = answer.json()
            elif self.settle(user, answer, known[1], absent):
                assert answer.json() == self.live[user][known[1]]

    @rule(user=users, completed=st.none() | st.booleans(), q=st.sampled_from([None, "TEA", "%"]))
    def search(self, user: str, completed: bool | None, q: str | None) -> None:  # noqa: FBT001 - Hypothesis names its arguments
        query = {"limit": 100, "completed": completed, "q": q}
        written = {name: str(value).lower() for name, value in query.items() if value is not None}
        found = self.ask(user, "GET", params=written).json()["items"]
        expected = [
            task
            for task in self.live[user].values()
            if completed in (None, task["completed"])
            and (q is None or q.lower() in f"{task['title']}\0{task['description']}".lower())
        ]
        assert by_id(found) == by_id(expected)

    @invariant()
    def counts_are_exact(self) -> None:
        for user, subject in self.subjects.items():
            live, counted = self.runner.run(counts_of(self.database, subject))
            assert live == len(self.live[user])
            # An owner without any task yet has no row.
            assert (counted or 0) == live

    @invariant()
    def everybody_sees_their_own_tasks_and_no_others(self) -> None:
        for user in USERS:
            answer = self.ask(user, "GET", params={"limit": "100"}).json()
            assert by_id(answer["items"]) == by_id(self.live[user].values())
            assert answer["next_cursor"] is None


async def counts_of(
    connection: "asyncpg.Connection[asyncpg.Record]", subject: str
) -> tuple[int, int | None]:
    """Return the number of an owner's live tasks, and the database's count of them."""
    await connection.execute("SELECT set_config('app.user_id', $1, false)", subject)
    live: int = await connection.fetchval("SELECT count(*) FROM tasks WHERE deleted_at IS NULL")
    counted: int | None = await connection.fetchval("SELECT live FROM task_counts")
    return live, counted


def by_id(tasks: Any) -> list[dict[str, Any]]:
    return sorted(tasks, key=lambda task: str(task["id"]))


def test_fault06_users_doing_anything_never_meet(settings: Settings, signer: Signer) -> None:
    service = running(create_app(settings))
    with asyncio.Runner() as runner:
        Users.runner, Users.signer = runner, signer
        Users.client = runner.run(service.__aenter__())
        Users.database = runner.run(connected(settings))
        try:
            run_state_machine_as_test(Users, settings=THOROUGH)
        finally:
            runner.run(Users.database.close())
            runner.run(service.__aexit__(None, None, None))


async def connected(settings: Settings) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(settings.database_url.dsn)


THOROUGH = hypothesis_settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
