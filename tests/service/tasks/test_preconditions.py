"""Entity tags: changes to a certain version only, and reads of unchanged tasks."""

import asyncio
from typing import Any

import httpx
import pytest

PATH = "/api/tasks"


async def make(client: httpx.AsyncClient, user: httpx.Headers) -> tuple[str, dict[str, Any]]:
    answer = await client.post(PATH, headers=user, json={"title": "A task"})
    assert answer.headers["ETag"] == '"v1"'
    return f"{PATH}/{answer.json()['id']}", answer.json()


async def test_every_answer_with_a_task_has_its_tag(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    path, _ = await make(client, alice)
    assert (await client.get(path, headers=alice)).headers["ETag"] == '"v1"'
    put = await client.put(path, headers=alice, json={"title": "x"})
    patch = await client.patch(path, headers=alice, json={"title": "y"})
    assert (put.headers["ETag"], patch.headers["ETag"]) == ('"v2"', '"v3"')
    assert patch.json()["version"] == 3


@pytest.mark.parametrize("tags", ['"v1"', 'W/"v1"', '"x", "v1"', "*"])
async def test_read_of_what_the_client_has_is_304_without_a_body(
    client: httpx.AsyncClient, alice: httpx.Headers, tags: str
) -> None:
    path, _ = await make(client, alice)
    answer = await client.get(path, headers={**alice, "If-None-Match": tags})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == '"v1"'
    assert answer.headers["Cache-Control"] == "private, no-cache"


async def test_read_of_another_version_is_the_task(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    path, task = await make(client, alice)
    answer = await client.get(path, headers={**alice, "If-None-Match": '"v2", "other"'})
    assert (answer.status_code, answer.json()) == (200, task)


CHANGES: list[tuple[str, dict[str, object] | None]] = [
    ("PUT", {"title": "x"}),
    ("PATCH", {"title": "x"}),
    ("PATCH", {}),
    ("DELETE", None),
]


@pytest.mark.parametrize(("method", "body"), CHANGES)
@pytest.mark.parametrize("tags", ['"v2"', 'W/"v1"', '"other"', '""', '"v01x", "v3"'])
async def test_change_meant_for_another_version_is_412_and_changes_nothing(
    client: httpx.AsyncClient,
    alice: httpx.Headers,
    method: str,
    body: dict[str, object] | None,
    tags: str,
) -> None:
    path, task = await make(client, alice)
    answer = await client.request(method, path, headers={**alice, "If-Match": tags}, json=body)
    assert (answer.status_code, answer.json()["code"]) == (412, "stale_version")
    assert (await client.get(path, headers=alice)).json() == task


@pytest.mark.parametrize(("method", "body"), CHANGES)
@pytest.mark.parametrize("tags", ['"v1"', '"other", "v1"', "*"])
async def test_change_meant_for_this_version_is_made(
    client: httpx.AsyncClient,
    alice: httpx.Headers,
    method: str,
    body: dict[str, object] | None,
    tags: str,
) -> None:
    path, _ = await make(client, alice)
    answer = await client.request(method, path, headers={**alice, "If-Match": tags}, json=body)
    assert answer.status_code in (200, 204)


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("tags", ["v1", '"v1', "", '"v1" "v2"', '"a",' * 1000 + '"b"'])
async def test_header_that_is_no_list_of_tags_is_refused(
    client: httpx.AsyncClient, alice: httpx.Headers, header: str, tags: str
) -> None:
    path, _ = await make(client, alice)
    method = "PATCH" if header == "If-Match" else "GET"
    body = {"title": "x"} if header == "If-Match" else None
    answer = await client.request(method, path, headers={**alice, header: tags}, json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_precondition")


async def test_fault08_another_users_tag_is_404_and_never_304_or_412(
    client: httpx.AsyncClient, alice: httpx.Headers, bob: httpx.Headers
) -> None:
    path, _ = await make(client, bob)
    read = await client.get(path, headers={**alice, "If-None-Match": '"v1"'})
    assert read.status_code == 404
    for tag in ('"v1"', '"v2"'):
        for method, body in CHANGES:
            headers = {**alice, "If-Match": tag}
            answer = await client.request(method, path, headers=headers, json=body)
            assert answer.status_code == 404


async def test_fault64_of_fifty_changes_meant_for_one_version_one_is_made(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    path, _ = await make(client, alice)
    headers = {**alice, "If-Match": '"v1"'}
    answers = await asyncio.gather(
        *(client.patch(path, headers=headers, json={"title": str(n)}) for n in range(50))
    )
    made = [answer for answer in answers if answer.status_code == 200]
    assert len(made) == 1
    assert sum(answer.status_code == 412 for answer in answers) == 49
    assert (await client.get(path, headers=alice)).json() == made[0].json()


async def test_fault65_change_and_deletion_at_once_never_bring_a_task_back(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    for tag in ({}, {"If-Match": '"v1"'}):
        path, _ = await make(client, alice)
        changed, deleted = await asyncio.gather(
            client.patch(path, headers={**alice, **tag}, json={"title": "x"}),
            client.delete(path, headers=alice),
        )
        assert deleted.status_code == 204
        assert changed.status_code in (200, 404, 412)
        assert (await client.get(path, headers=alice)).status_code == 404
