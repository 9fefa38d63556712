"""Deleted tasks: nobody can read them, and their owner can restore them for 30 days."""

from datetime import timedelta
from uuid import uuid4

import asyncpg
import httpx
import pytest

from tests.conftest import DatabaseUrls

PATH = "/api/tasks"


async def delete_one(
    client: httpx.AsyncClient, user: httpx.Headers
) -> tuple[str, dict[str, object]]:
    task = (await client.post(PATH, headers=user, json={"title": "Going"})).json()
    path = f"{PATH}/{task['id']}"
    assert (await client.delete(path, headers=user)).status_code == 204
    return path, task


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("tag", [{}, {"If-Match": '"v2"', "If-None-Match": '"v2"'}], ids=str)
async def test_deleted_task_is_none_at_all(
    client: httpx.AsyncClient, alice: httpx.Headers, method: str, tag: dict[str, str]
) -> None:
    path, _ = await delete_one(client, alice)
    body = {"title": "x"} if method in ("PUT", "PATCH") else None
    answer = await client.request(method, path, headers={**alice, **tag}, json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await client.get(PATH, headers=alice)).json()["items"] == []


async def test_restored_task_is_as_it_was_in_a_new_version(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    path, task = await delete_one(client, alice)
    answer = await client.post(f"{path}/restore", headers=alice)
    restored = answer.json()
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"v3"')
    assert {**restored, "updated_at": None, "version": 1} == {**task, "updated_at": None}
    assert (await client.get(path, headers=alice)).json() == restored
    again = await client.post(f"{path}/restore", headers=alice)
    assert (again.status_code, again.json()) == (200, restored)


async def test_fault09_nobody_else_restores_a_task_and_there_is_none_to_restore(
    client: httpx.AsyncClient, alice: httpx.Headers, bob: httpx.Headers
) -> None:
    path, _ = await delete_one(client, bob)
    answers = [
        await client.post(f"{place}/restore", headers=alice)
        for place in (path, f"{PATH}/{uuid4()}", f"{PATH}/nothing")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({str({**answer.json(), "request_id": None}) for answer in answers}) == 1
    assert (await client.get(path, headers=bob)).status_code == 404


@pytest.mark.parametrize(
    ("ago", "status"), [(timedelta(days=29, hours=23), 200), (timedelta(days=30, seconds=1), 404)]
)
async def test_task_can_be_restored_for_thirty_days(
    client: httpx.AsyncClient,
    alice: httpx.Headers,
    database: DatabaseUrls,
    ago: timedelta,
    status: int,
) -> None:
    path, _ = await delete_one(client, alice)
    owner = (await client.get("/api/auth/me", headers=alice)).json()["id"]
    connection = await asyncpg.connect(database.app)
    try:
        await connection.execute("SELECT set_config('app.user_id', $1, false)", owner)
        await connection.execute("UPDATE tasks SET deleted_at = now() - $1::interval", ago)
    finally:
        await connection.close()
    assert (await client.post(f"{path}/restore", headers=alice)).status_code == status
