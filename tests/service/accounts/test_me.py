"""`DELETE /api/auth/me`: one user's tasks are deleted, and this user's tokens refused."""

import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest

from better_auth_keys import Signer
from scripts.proofs.in_process import running
from service.app import create_app, open_services
from service.database.execution import AnyRow, DatabaseUnavailableError
from service.database.statements import Step
from service.security.owner import Owner
from service.settings.model import Settings
from service.tasks.repository import TaskRepository
from service.tasks.schemas import TaskWrite
from tests.conftest import DatabaseUrls
from tests.service.conftest import Person, settings_for

ME, TASKS = "/api/auth/me", "/api/tasks"
TASK = {"title": "Private"}
Leaver = Callable[..., httpx.Headers]


@pytest.fixture
def subject() -> str:
    return f"leaver-{uuid4()}"


@pytest.fixture
def leaver(headers_of: Person, subject: str) -> Leaver:
    """Return the headers of a request by the user who leaves."""

    def headers(**changes: object) -> httpx.Headers:
        return headers_of(subject, **changes)

    return headers


@pytest.fixture
def later(leaver: Leaver) -> httpx.Headers:
    """A token of a later sign-in. A revocation covers the whole second.

    Its time is within the 10 s by which clocks may differ, and late enough for a slow machine.
    """
    return leaver(iat=int(time.time()) + 8)


async def titles(client: httpx.AsyncClient, user: httpx.Headers) -> list[str]:
    answer = await client.get(TASKS, headers=user)
    assert answer.status_code == 200
    return [task["title"] for task in answer.json()["items"]]


async def test_tasks_are_deleted_and_every_token_is_refused(
    client: httpx.AsyncClient, leaver: Leaver, later: httpx.Headers
) -> None:
    user = leaver(sid=f"s-{uuid4()}")
    other_session = leaver(sid=f"s-{uuid4()}", iat=int(time.time()) - 60)
    # Minted before the deletion: one of a later second would be accepted.
    no_session = leaver()
    for _ in range(3):
        await client.post(TASKS, headers=user, json=TASK)
    answer = await client.delete(ME, headers=user)
    assert (answer.status_code, answer.content) == (204, b"")
    for refused in (user, other_session, no_session):
        for method, path in (("GET", ME), ("GET", TASKS), ("POST", TASKS), ("DELETE", ME)):
            body = TASK if method == "POST" else None
            again = await client.request(method, path, headers=refused, json=body)
            assert (again.status_code, again.json()["code"]) == (401, "invalid_token")
    assert await titles(client, later) == []
    assert (await client.get(ME, headers=later)).status_code == 200


async def test_repeated_after_signing_in_again_is_204(
    client: httpx.AsyncClient, leaver: Leaver, later: httpx.Headers
) -> None:
    assert (await client.delete(ME, headers=leaver())).status_code == 204
    assert (await client.post(TASKS, headers=later, json=TASK)).status_code == 201
    assert (await client.delete(ME, headers=later)).status_code == 204
    # Revoked by the database's clock: the token of the future is still good.
    assert await titles(client, later) == []
    assert (await client.delete(ME, headers=later)).status_code == 204


async def test_fault92_another_users_tasks_and_tokens_stay(
    client: httpx.AsyncClient, leaver: Leaver, bob: httpx.Headers
) -> None:
    made = (await client.post(TASKS, headers=bob, json=TASK)).json()
    user = leaver()
    await client.post(TASKS, headers=user, json=TASK)
    sent = {**user, "X-User-Id": "bob"}
    assert (await client.request("DELETE", ME, headers=sent, json={"id": "bob"})).status_code == 204
    assert (await client.get(f"{TASKS}/{made['id']}", headers=bob)).json() == made


class LateTasks(TaskRepository):
    """Tasks of which one is created as soon as the deletion is committed, by a request that waited.

    Without this class, it would depend on timing which of the two takes the count next.
    """

    async def delete_all(self, *further: Step) -> list[Sequence[AnyRow]]:
        rows = await super().delete_all(*further)
        if further:
            await self.create(TaskWrite(title="Late"))
        return rows


async def test_fault92_task_of_a_request_that_waited_for_the_deletion_is_deleted(
    client: httpx.AsyncClient, settings: Settings, later: httpx.Headers, subject: str
) -> None:
    services = open_services(settings)
    tasks = LateTasks(services.database, Owner(subject))
    await services.sessions.delete_user(Owner(subject), tasks, deleted=lambda: None)
    await services.better_auth.close()
    await services.database.close()
    assert await titles(client, later) == []


async def test_deletion_is_in_the_security_log_although_its_last_step_fails(
    client: httpx.AsyncClient,
    leaver: Leaver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    delete_all = TaskRepository.delete_all

    async def deleted_once(self: TaskRepository, *further: Step) -> list[Sequence[AnyRow]]:
        if not further:
            raise DatabaseUnavailableError("gone")
        return await delete_all(self, *further)

    monkeypatch.setattr(TaskRepository, "delete_all", deleted_once)
    user = leaver()
    assert (await client.delete(ME, headers=user)).status_code == 503
    assert (await client.get(ME, headers=user)).status_code == 401
    assert caplog.text.count("user_deleted") == 1


async def test_token_that_may_only_read_deletes_nothing(
    client: httpx.AsyncClient, leaver: Leaver
) -> None:
    await client.post(TASKS, headers=leaver(), json=TASK)
    answer = await client.delete(ME, headers=leaver(scope="tasks:read"))
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert await titles(client, leaver()) == ["Private"]
    assert (await client.delete(ME, headers=leaver(scope="tasks:write"))).status_code == 204


async def test_without_a_token_is_401(client: httpx.AsyncClient) -> None:
    answer = await client.delete(ME)
    assert (answer.status_code, answer.json()["code"]) == (401, "credentials_missing")


async def test_reply_to_a_key_is_replayed_and_creates_no_task(
    client: httpx.AsyncClient, leaver: Leaver, later: httpx.Headers
) -> None:
    key = {"Idempotency-Key": "k"}
    first = await client.post(TASKS, headers={**leaver(), **key}, json=TASK)
    assert (await client.delete(ME, headers=leaver())).status_code == 204
    again = await client.post(TASKS, headers={**later, **key}, json=TASK)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()
    assert await titles(client, later) == []


async def test_revocation_names_its_reason(
    client: httpx.AsyncClient, leaver: Leaver, subject: str, database: DatabaseUrls
) -> None:
    await client.delete(ME, headers=leaver())
    connection = await asyncpg.connect(database.app)
    try:
        (row,) = await connection.fetch(
            "SELECT kind, operator, reason FROM token_revocations WHERE value = $1", subject
        )
    finally:
        await connection.close()
    assert tuple(row) == ("subject", "service", "account_deleted")


@pytest.fixture
async def strict(
    database: DatabaseUrls, signer: Signer, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """A service without a Better Auth, which requires verified addresses and does not wait long."""
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    settings: Settings = settings_for(
        database.app,
        jwks_url=jwks.as_uri(),
        account_api=False,
        require_verified_email=True,
        request_seconds=0.5,
    )
    async with running(create_app(settings)) as client:
        yield client


async def test_works_without_the_account_api_and_without_a_verified_address(
    strict: httpx.AsyncClient, leaver: Leaver
) -> None:
    user = leaver(emailVerified=False)
    assert (await strict.get(TASKS, headers=user)).status_code == 403
    assert (await strict.delete(ME, headers=user)).status_code == 204
    assert (await strict.get(ME, headers=user)).status_code == 401


async def test_fault92_failure_is_503_and_neither_half_is_done(
    strict: httpx.AsyncClient,
    client: httpx.AsyncClient,
    leaver: Leaver,
    subject: str,
    database: DatabaseUrls,
) -> None:
    user = leaver()
    await client.post(TASKS, headers=user, json=TASK)
    other = await asyncpg.connect(database.app)
    try:
        await other.execute("SELECT set_config('app.user_id', $1, false)", subject)
        async with other.transaction():
            await other.execute("SELECT FROM task_counts FOR UPDATE")
            answer = await strict.delete(ME, headers=user)
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        assert await titles(client, user) == ["Private"]
    finally:
        await other.close()
    assert (await strict.delete(ME, headers=user)).status_code == 204
