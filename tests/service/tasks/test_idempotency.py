"""Idempotency-Key: a repeated request creates no second task."""

import asyncio

import asyncpg
import httpx
import pytest

from tests.conftest import DatabaseUrls

PATH = "/api/tasks"
KEY = {"Idempotency-Key": "a-key-of-the-client"}
BODY = {"title": "Once", "description": "é \U0001f600", "completed": True, "due_at": None}


async def count(client: httpx.AsyncClient, user: httpx.Headers) -> int:
    return len((await client.get(PATH, headers=user, params={"limit": 100})).json()["items"])


async def test_second_request_gets_the_reply_of_the_first(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    first = await client.post(PATH, headers={**alice, **KEY}, json=BODY)
    path = first.headers["Location"]
    await client.patch(path, headers=alice, json={"title": "Changed since"})
    # Different bytes with the same content are the same request.
    again = await client.post(PATH, headers={**alice, **KEY}, json={**BODY, "priority": 0})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert (again.headers["Location"], again.headers["ETag"]) == (path, first.headers["ETag"])
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await count(client, alice) == 1


async def test_fault66_key_with_another_body_is_refused(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    await client.post(PATH, headers={**alice, **KEY}, json=BODY)
    answer = await client.post(PATH, headers={**alice, **KEY}, json={"title": "Other"})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await count(client, alice) == 1


async def test_fault07_keys_of_two_users_are_two(
    client: httpx.AsyncClient, alice: httpx.Headers, bob: httpx.Headers
) -> None:
    hers = await client.post(PATH, headers={**alice, **KEY}, json=BODY)
    his = await client.post(PATH, headers={**bob, **KEY}, json={"title": "His"})
    assert (his.status_code, his.json()["title"]) == (201, "His")
    assert hers.json()["id"] != his.json()["id"]
    assert await count(client, alice) == await count(client, bob) == 1


async def test_refused_request_leaves_its_key_free(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    refused = await client.post(PATH, headers={**alice, **KEY}, json={"title": ""})
    made = await client.post(PATH, headers={**alice, **KEY}, json=BODY)
    assert (refused.status_code, made.status_code) == (422, 201)
    assert "Idempotency-Replayed" not in made.headers


@pytest.mark.parametrize("key", ["", " ", "é".encode(), "a b", "a" * 256])
async def test_key_that_is_no_key_is_refused(
    client: httpx.AsyncClient, alice: httpx.Headers, key: str | bytes
) -> None:
    headers = [*alice.raw, (b"Idempotency-Key", key.encode() if isinstance(key, str) else key)]
    answer = await client.post(PATH, headers=headers, json=BODY)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["location"] == "header.Idempotency-Key"


async def test_fault66_of_twins_at_once_one_creates_and_all_get_its_task(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    answers = await asyncio.gather(
        *(client.post(PATH, headers={**alice, **KEY}, json=BODY) for _ in range(8))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert await count(client, alice) == 1


async def test_fault66_twin_that_waits_too_long_is_409_and_creates_nothing(
    client: httpx.AsyncClient,
    alice: httpx.Headers,
    database: DatabaseUrls,
) -> None:
    owner = (await client.get("/api/auth/me", headers=alice)).json()["id"]
    twin = await asyncpg.connect(database.app)
    try:
        transaction = twin.transaction()
        await transaction.start()
        await twin.execute("SELECT set_config('app.user_id', $1, true)", owner)
        await twin.execute(
            "INSERT INTO idempotency_keys VALUES ($1, $2, '', '{}', now())",
            owner,
            KEY["Idempotency-Key"],
        )
        answer = await client.post(PATH, headers={**alice, **KEY}, json=BODY)
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_in_flight")
        await transaction.rollback()
    finally:
        await twin.close()
    assert await count(client, alice) == 0
    assert (await client.post(PATH, headers={**alice, **KEY}, json=BODY)).status_code == 201


async def test_key_is_free_again_after_a_day(
    client: httpx.AsyncClient, alice: httpx.Headers, database: DatabaseUrls
) -> None:
    owner = (await client.get("/api/auth/me", headers=alice)).json()["id"]
    await client.post(PATH, headers={**alice, **KEY}, json=BODY)
    connection = await asyncpg.connect(database.app)
    try:
        await connection.execute("SELECT set_config('app.user_id', $1, false)", owner)
        await connection.execute(
            "UPDATE idempotency_keys SET created_at = now() - interval '24 hours 1 second'"
        )
    finally:
        await connection.close()
    other = await client.post(PATH, headers={**alice, **KEY}, json={"title": "Other"})
    again = await client.post(PATH, headers={**alice, **KEY}, json={"title": "Other"})
    assert (other.status_code, other.json()["title"]) == (201, "Other")
    assert again.content == other.content
    assert await count(client, alice) == 2
