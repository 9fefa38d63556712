"""The task API over HTTP, on PostgreSQL as role `app`."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import httpx
import pytest

from tests.service.conftest import Person

PATH = "/api/tasks"
FULL = {
    "title": "Rotate the keys",
    "description": "Publish, wait, activate.",
    "completed": True,
    "priority": 3,
    "due_at": "2030-01-31T18:00:00+01:00",
}
MEMBERS = [
    "id",
    "title",
    "description",
    "completed",
    "priority",
    "due_at",
    "created_at",
    "updated_at",
    "completed_at",
    "version",
]


async def create(
    client: httpx.AsyncClient, user: httpx.Headers, **members: object
) -> dict[str, object]:
    answer = await client.post(PATH, headers=user, json={"title": "A task", **members})
    assert answer.status_code == 201, answer.text
    task: dict[str, object] = answer.json()
    return task


def moment(value: object) -> datetime:
    assert isinstance(value, str)
    assert value.endswith("Z")
    return datetime.fromisoformat(value)


async def test_created_task_is_answered_with_its_location_and_found_there(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    answer = await client.post(PATH, headers=alice, json=FULL)
    task = answer.json()
    assert answer.status_code == 201
    assert list(task) == MEMBERS
    assert answer.headers["Location"] == f"{PATH}/{task['id']}"
    assert UUID(task["id"]).version == 7
    assert {name: task[name] for name in FULL} == {**FULL, "due_at": "2030-01-31T17:00:00Z"}
    assert task["version"] == 1
    assert datetime.now(UTC) - moment(task["created_at"]) < timedelta(minutes=1)
    assert task["created_at"] == task["updated_at"] == task["completed_at"]
    found = await client.get(answer.headers["Location"], headers=alice)
    assert (found.status_code, found.json()) == (200, task)
    assert found.headers["Cache-Control"] == "private, no-cache"


async def test_title_is_all_that_a_task_needs(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    task = await create(client, alice, title="  Trimmed  ")
    assert task["title"] == "Trimmed"
    assert (task["description"], task["due_at"], task["completed_at"]) == (None, None, None)
    assert (task["completed"], task["priority"]) == (False, 0)


async def test_put_replaces_the_whole_task(client: httpx.AsyncClient, alice: httpx.Headers) -> None:
    task = await create(client, alice, **FULL)
    answer = await client.put(f"{PATH}/{task['id']}", headers=alice, json={"title": "New"})
    replaced = answer.json()
    assert answer.status_code == 200
    assert (replaced["title"], replaced["description"], replaced["due_at"]) == ("New", None, None)
    assert (replaced["completed"], replaced["completed_at"], replaced["priority"]) == (
        False,
        None,
        0,
    )
    assert (replaced["id"], replaced["created_at"]) == (task["id"], task["created_at"])
    assert replaced["version"] == 2
    assert moment(replaced["updated_at"]) > moment(task["updated_at"])


async def test_patch_changes_what_is_sent_and_null_empties(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    task = await create(client, alice, **FULL)
    answer = await client.patch(f"{PATH}/{task['id']}", headers=alice, json={"due_at": None})
    changed = answer.json()
    assert answer.status_code == 200
    for unchanged in ("title", "description", "completed", "priority", "completed_at"):
        assert changed[unchanged] == task[unchanged]
    assert changed["due_at"] is None


async def test_fault35_empty_patch_changes_nothing(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    task = await create(client, alice)
    answer = await client.patch(f"{PATH}/{task['id']}", headers=alice, json={})
    assert (answer.status_code, answer.json()) == (200, task)


async def test_completing_stamps_the_moment_and_keeps_it(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    task = await create(client, alice)
    path = f"{PATH}/{task['id']}"
    done = (await client.patch(path, headers=alice, json={"completed": True})).json()
    again = (await client.patch(path, headers=alice, json={"completed": True})).json()
    undone = (await client.patch(path, headers=alice, json={"completed": False})).json()
    assert done["completed_at"] == done["updated_at"] == again["completed_at"]
    assert undone["completed_at"] is None
    assert [version["version"] for version in (done, again, undone)] == [2, 3, 4]


async def test_deleted_task_is_gone(client: httpx.AsyncClient, alice: httpx.Headers) -> None:
    task = await create(client, alice)
    path = f"{PATH}/{task['id']}"
    answer = await client.delete(path, headers=alice)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await client.get(path, headers=alice)).status_code == 404
    assert (await client.delete(path, headers=alice)).status_code == 404


async def test_pages_give_every_task_once_newest_first(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    made = [await create(client, alice, title=f"Task {number}") for number in range(7)]
    seen: list[object] = []
    parameters: dict[str, str] = {"limit": "3"}
    for size, more in ((3, True), (3, True), (1, False)):
        page = (await client.get(PATH, headers=alice, params=parameters)).json()
        assert list(page) == ["items", "next_cursor"]
        assert len(page["items"]) == size
        assert (page["next_cursor"] is not None) is more
        seen += page["items"]
        parameters["cursor"] = page["next_cursor"]
    assert seen == made[::-1]


async def test_page_that_ends_with_the_last_task_has_no_cursor(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    for _ in range(2):
        await create(client, alice)
    page = (await client.get(PATH, headers=alice, params={"limit": 2})).json()
    assert (len(page["items"]), page["next_cursor"]) == (2, None)


async def test_list_of_nobody_is_empty(client: httpx.AsyncClient, alice: httpx.Headers) -> None:
    answer = await client.get(PATH, headers=alice)
    assert (answer.status_code, answer.json()) == (200, {"items": [], "next_cursor": None})


async def test_page_has_fifty_tasks_by_default(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    for _ in range(51):
        await create(client, alice)
    assert len((await client.get(PATH, headers=alice)).json()["items"]) == 50
    assert len((await client.get(f"{PATH}?limit=100", headers=alice)).json()["items"]) == 51


@pytest.mark.parametrize("change", ["tampered", "cut", "rubbish", "another owner's", "empty"])
async def test_fault04_cursor_that_was_not_given_to_this_user_is_refused(
    client: httpx.AsyncClient, alice: httpx.Headers, bob: httpx.Headers, change: str
) -> None:
    for user in (alice, bob):
        for _ in range(2):
            await create(client, user)
    page = (await client.get(PATH, headers=alice, params={"limit": 1})).json()
    cursor = page["next_cursor"]
    user = bob if change == "another owner's" else alice
    used = {
        "tampered": ("B" if cursor[0] == "A" else "A") + cursor[1:],
        "cut": cursor[:-4],
        "rubbish": "näh %",
        "empty": "",
    }.get(change, cursor)
    answer = await client.get(PATH, headers=user, params={"limit": 1, "cursor": used})
    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_cursor"


@pytest.mark.parametrize("length", [1, 200])
async def test_fault31_title_within_the_limits_is_kept_in_emoji(
    client: httpx.AsyncClient, alice: httpx.Headers, length: int
) -> None:
    task = await create(client, alice, title="🗝" * length, description="🗝" * 10_000)
    assert task["title"] == "🗝" * length


async def test_me_tells_whom_the_token_speaks_for(
    client: httpx.AsyncClient, headers_of: object
) -> None:
    assert callable(headers_of)
    user = headers_of("carol", name="Carol", email="carol@example.com", emailVerified=True)
    answer = await client.get("/api/auth/me", headers=user)
    me = answer.json()
    assert (me["id"], me["name"], me["email"]) == ("carol", "Carol", "carol@example.com")
    assert me["email_verified"] is True
    assert answer.headers["Cache-Control"] == "no-store"


async def test_me_of_a_bare_token_leaves_the_rest_empty(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    me = (await client.get("/api/auth/me", headers=alice)).json()
    assert (me["name"], me["email"], me["email_verified"]) == (None, None, None)


@pytest.mark.parametrize("written", ["{}", "urn", "upper", "no hyphens", "word", "long"])
async def test_fault32_id_in_another_form_names_no_task(
    client: httpx.AsyncClient, alice: httpx.Headers, written: str
) -> None:
    task_id = str((await create(client, alice))["id"])
    forms = {
        "{}": f"{{{task_id}}}",
        "urn": f"urn:uuid:{task_id}",
        "upper": task_id.upper(),
        "no hyphens": task_id.replace("-", ""),
        "word": "first",
        "long": "a" * 5000,
    }
    answer = await client.get(f"{PATH}/{forms[written]}", headers=alice)
    assert answer.status_code == 404
    assert (await client.get(f"{PATH}/{uuid4()}", headers=alice)).json()["detail"] == (
        answer.json()["detail"]
    )


async def test_me_leaves_out_what_cannot_be_written(
    client: httpx.AsyncClient, headers_of: Person
) -> None:
    user = headers_of("alice", name="half \ud83d", email="a@example.com")
    answer = await client.get("/api/auth/me", headers=user)
    assert answer.status_code == 200
    assert (answer.json()["name"], answer.json()["email"]) == (None, "a@example.com")
