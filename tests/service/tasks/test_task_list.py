"""Lists: filters, search, sorts and pages, compared with what Python finds in the same tasks."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from service.tasks.query import TaskQuery

PATH = "/api/tasks"
Task = dict[str, Any]


async def make(client: httpx.AsyncClient, user: httpx.Headers, count: int) -> list[Task]:
    """Create similar tasks, so that there are many ties and missing values."""
    chance = random.Random(7)  # noqa: S311 - reproducible, not secret
    tasks = []
    for number in range(count):
        due = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(days=chance.randrange(4))
        body = {
            "title": f"Task {number}",
            "priority": chance.randrange(4),
            "completed": chance.random() < 0.5,
            "due_at": due.isoformat() if chance.random() < 0.6 else None,
        }
        answer = await client.post(PATH, headers=user, json=body)
        tasks.append(answer.json())
    for task in chance.sample(tasks, count // 3):
        changed = await client.patch(f"{PATH}/{task['id']}", headers=user, json={"priority": 2})
        task.update(changed.json())
    return tasks


async def pages(
    client: httpx.AsyncClient, user: httpx.Headers, **query: object
) -> tuple[list[Task], int]:
    """Return the tasks of all pages, and the number of pages."""
    found: list[Task] = []
    cursor: dict[str, str] = {}
    number = 0
    while True:
        answer = await client.get(PATH, headers=user, params={**query, **cursor})  # type: ignore[dict-item] # httpx takes what str() takes
        assert answer.status_code == 200, answer.text
        number += 1
        found += answer.json()["items"]
        if answer.json()["next_cursor"] is None:
            return found, number
        cursor = {"cursor": answer.json()["next_cursor"]}


def in_order(tasks: list[Task], sort: str) -> list[Task]:
    name, backwards = sort.removeprefix("-"), sort.startswith("-")
    there = sorted(
        (task for task in tasks if task[name] is not None),
        key=lambda task: (task[name], task["id"]),
        reverse=backwards,
    )
    missing = (task for task in tasks if task[name] is None)
    return there + sorted(missing, key=lambda task: str(task["id"]), reverse=backwards)


@pytest.mark.parametrize("name", ["created_at", "updated_at", "due_at", "priority"])
async def test_every_sort_gives_every_task_once_in_order_those_without_a_value_last(
    client: httpx.AsyncClient, alice: httpx.Headers, name: str
) -> None:
    tasks = await make(client, alice, 23)
    for sort in (name, f"-{name}"):
        for limit in (1, 5, 23, 100):
            found, number = await pages(client, alice, sort=sort, limit=limit)
            assert found == in_order(tasks, sort)
            assert number == -(-23 // limit)


MIDDLE = "2030-01-02T00:00:00Z"
FILTERS: dict[str, tuple[dict[str, object], Callable[[Task], bool]]] = {
    "completed": ({"completed": "true"}, lambda task: task["completed"]),
    "not completed": ({"completed": "false"}, lambda task: not task["completed"]),
    "priority": ({"priority": 2}, lambda task: task["priority"] == 2),
    "due before": ({"due_before": MIDDLE}, lambda task: (task["due_at"] or "9") < MIDDLE),
    "due after": ({"due_after": MIDDLE}, lambda task: (task["due_at"] or "0") >= MIDDLE),
    "nothing": ({"due_before": "2020-01-01T00:00:00Z"}, lambda _task: False),
    "q": ({"q": "TASK 1"}, lambda task: task["title"].startswith("Task 1")),
    "several": (
        {"completed": "true", "due_after": MIDDLE, "q": "1"},
        lambda task: (
            task["completed"] and (task["due_at"] or "0") >= MIDDLE and "1" in task["title"]
        ),
    ),
}


@pytest.mark.parametrize("case", FILTERS)
@pytest.mark.parametrize("sort", ["-created_at", "due_at", "-priority"])
async def test_fault06_filters_pass_what_matches_on_every_page(
    client: httpx.AsyncClient, alice: httpx.Headers, bob: httpx.Headers, case: str, sort: str
) -> None:
    query, matches = FILTERS[case]
    tasks = await make(client, alice, 20)
    await make(client, bob, 3)
    found, _ = await pages(client, alice, sort=sort, limit=3, **query)
    assert found == in_order([task for task in tasks if matches(task)], sort)


async def test_updated_since_gives_what_was_changed_at_that_moment_or_later(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    tasks = await make(client, alice, 6)
    since = in_order(tasks, "updated_at")[3]["updated_at"]
    found, _ = await pages(client, alice, sort="updated_at", updated_since=since)
    assert found == in_order(tasks, "updated_at")[3:]


SEARCHES = [
    ("100%", "Give 100%", "Give 1000"),
    ("a_b", "a_b", "axb"),
    ("\\", "back\\slash", "no slash"),
    ("%", "%", "nothing"),
    ("überprüfen", "ÜBERPRÜFEN", "uberprufen"),
    ("'; --", "quote'; --", "quote"),
]


@pytest.mark.parametrize(("q", "hit", "miss"), SEARCHES)
@pytest.mark.parametrize("member", ["title", "description"])
async def test_fault33_search_takes_every_character_as_itself_in_either_case(
    client: httpx.AsyncClient, alice: httpx.Headers, q: str, hit: str, miss: str, member: str
) -> None:
    for text in (hit, miss):
        await client.post(PATH, headers=alice, json={"title": "T", member: f"so {text} it is"})
    found, _ = await pages(client, alice, q=q)
    assert [task[member] for task in found] == [f"so {hit} it is"]


BAD_QUERIES = [
    "limit=1&limit=2",
    "limit=1.0",
    "limit=%2B1",
    "limit=1e1",
    "completed=1",
    "completed=yes",
    "completed=",
    "priority=4",
    "priority=high",
    "due_before=tomorrow",
    "due_before=1900000000",
    "due_before=2030-01-01T00:00:00",
    "updated_since=0001-01-01T00:00:00%2B14:00",
    "sort=title",
    "sort=--due_at",
    "sort=",
    "q=",
    "q=%20",
    "q=%00",
    "q=" + "a" * 201,
    "cursor=" + "a" * 301,
    "unknown=hunter2",
]


@pytest.mark.parametrize("query", BAD_QUERIES)
async def test_fault24_fault25_query_that_is_no_query_is_refused(
    client: httpx.AsyncClient, alice: httpx.Headers, query: str
) -> None:
    answer = await client.get(f"{PATH}?{query}", headers=alice)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "hunter2" not in answer.text


OTHER_QUERIES: list[dict[str, str]] = [
    {"sort": "created_at"},
    {"sort": "due_at"},
    {"completed": "true"},
    {"completed": "false"},
    {"q": "task"},
    {"updated_since": "2020-01-01T00:00:00Z"},
]


@pytest.mark.parametrize("query", OTHER_QUERIES, ids=str)
async def test_fault04_cursor_is_good_for_its_own_query_only(
    client: httpx.AsyncClient, alice: httpx.Headers, query: dict[str, str]
) -> None:
    await make(client, alice, 5)
    plain = await client.get(PATH, headers=alice, params={"limit": 2})
    filtered = await client.get(PATH, headers=alice, params={"limit": 1, **query})
    for cursor, wrong in (
        (plain.json()["next_cursor"], query),
        (filtered.json()["next_cursor"], {}),
    ):
        answer = await client.get(PATH, headers=alice, params={**wrong, "cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")
    # The page size may change between pages.
    cursor = plain.json()["next_cursor"]
    answer = await client.get(PATH, headers=alice, params={"limit": 3, "cursor": cursor})
    assert len(answer.json()["items"]) == 3


@pytest.mark.parametrize("sort", ["created_at", "-updated_at", "due_at", "-due_at", "-priority"])
async def test_fault67_what_comes_and_goes_while_paging_costs_no_stable_task(
    client: httpx.AsyncClient, alice: httpx.Headers, sort: str
) -> None:
    tasks = await make(client, alice, 12)
    stable, going = tasks[::2], tasks[1::2]
    seen: list[Task] = []
    cursor: dict[str, str] = {}
    while True:
        page = await client.get(PATH, headers=alice, params={"sort": sort, "limit": "2", **cursor})
        seen += page.json()["items"]
        if page.json()["next_cursor"] is None:
            break
        cursor = {"cursor": page.json()["next_cursor"]}
        if going:
            await client.delete(f"{PATH}/{going.pop()['id']}", headers=alice)
            await client.post(PATH, headers=alice, json={"title": "New", "priority": 2})
    ids = [task["id"] for task in seen]
    assert len(ids) == len(set(ids))
    assert {task["id"] for task in stable} <= set(ids)


@pytest.mark.parametrize("sort", ["-created_at", "due_at"])
def test_query_without_filters_is_named_as_the_model_would_name_it(sort: str) -> None:
    query = TaskQuery.model_validate({"sort": sort, "limit": "7", "cursor": "x"})
    assert query.identity == query.model_dump_json(exclude={"limit", "cursor"}, exclude_none=True)
    assert query.filters == {}
    filtered = TaskQuery.model_validate({"sort": sort, "priority": "2"})
    assert filtered.filters == {"priority": 2}
    assert filtered.identity != query.identity
