"""Limits: which users are refused, and how many tasks a user may have."""

from collections.abc import AsyncIterator

import httpx
import pytest

from scripts.proofs.in_process import running
from service.app import create_app
from service.settings.model import Settings
from tests.conftest import DatabaseUrls
from tests.service.conftest import Person, settings_for

PATH = "/api/tasks"
KEY = {"Idempotency-Key": "some-key"}


@pytest.fixture
async def strict(database: DatabaseUrls, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A service that allows three tasks per user and requires a verified e-mail address."""
    app = create_app(
        settings_for(
            database.app,
            jwks_url=settings.jwks_url,
            max_tasks_per_user=3,
            require_verified_email=True,
        )
    )
    async with running(app) as client:
        yield client


async def test_task_beyond_the_limit_is_409_until_another_has_gone(
    strict: httpx.AsyncClient, headers_of: Person
) -> None:
    user = headers_of("collector", emailVerified=True)
    made = [await strict.post(PATH, headers=user, json={"title": "x"}) for _ in range(3)]
    for more in ({}, KEY):
        answer = await strict.post(PATH, headers={**user, **more}, json={"title": "x"})
        assert (answer.status_code, answer.json()["code"]) == (409, "task_limit")
    first = made[0].headers["Location"]
    assert (await strict.delete(first, headers=user)).status_code == 204
    # The refused request did not use its key up.
    made_now = await strict.post(PATH, headers={**user, **KEY}, json={"title": "x"})
    assert made_now.status_code == 201
    assert "Idempotency-Replayed" not in made_now.headers
    answer = await strict.post(f"{first}/restore", headers=user)
    assert (answer.status_code, answer.json()["code"]) == (409, "task_limit")
    assert (
        await strict.post(
            PATH, headers=headers_of("other", emailVerified=True), json={"title": "x"}
        )
    ).status_code == 201


@pytest.mark.parametrize("verified", [False, None, "true", 1])
async def test_user_without_a_verified_address_is_403_where_that_is_asked_for(
    strict: httpx.AsyncClient, client: httpx.AsyncClient, headers_of: Person, verified: object
) -> None:
    user = headers_of("newcomer", emailVerified=verified)
    answer = await strict.get(PATH, headers=user)
    assert (answer.status_code, answer.json()["code"]) == (403, "email_not_verified")
    assert (await strict.get("/api/auth/me", headers=user)).status_code == 200
    assert (await client.get(PATH, headers=user)).status_code == 200


async def test_banned_user_is_403_everywhere(client: httpx.AsyncClient, headers_of: Person) -> None:
    user = headers_of("banned", banned=True)
    for path in (PATH, "/api/auth/me"):
        answer = await client.get(path, headers=user)
        assert (answer.status_code, answer.json()["code"]) == (403, "banned")
    for not_banned in (False, None):
        user = headers_of("banned", banned=not_banned)
        assert (await client.get(PATH, headers=user)).status_code == 200
