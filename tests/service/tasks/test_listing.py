"""Lists with filters: how much one page examines, and where the next one begins."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import get_args
from uuid import uuid4

import asyncpg
import httpx
import pytest

from scripts.proofs.in_process import running
from service.app import create_app
from service.database import execution
from service.database.execution import Database
from service.database.url import parse_database_url
from service.security.owner import Owner
from service.settings.model import Settings
from service.tasks.listing import MAX_EXAMINED, page_statement
from service.tasks.query import Sort, TaskQuery
from service.tasks.repository import FoundPage, TaskRepository
from tests.conftest import DatabaseUrls
from tests.service.conftest import settings_for

# The tasks n = 1, 2, ... of one owner, the oldest first; due on the day of the same number.
FILL = """
INSERT INTO tasks (owner_id, id, title, description, completed, priority, due_at, created_at,
                   updated_at, version)
SELECT $1, gen_random_uuid(), 'Task ' || n, repeat('x', $2 - length('Task ' || n)), n = 1, 0,
       CASE WHEN n <= $4 THEN timestamptz '2030-01-01' + n * interval '1 day' END,
       timestamptz '2029-01-01' + n * interval '1 second', now(), 1
FROM generate_series(1, $3::int) AS n
"""
PATH = "/api/tasks"


@pytest.fixture
async def pool(database: DatabaseUrls) -> AsyncIterator[Database]:
    pool = Database(parse_database_url(database.app), pool_size=2)
    yield pool
    await pool.close()


@pytest.fixture
def name() -> str:
    return f"alice-{uuid4()}"


async def fill(
    database: DatabaseUrls, name: str, count: int, *, size: int = 30, dated: int = 0
) -> None:
    """Create tasks whose texts have `size` bytes, `dated` of them with a date."""
    connection = await asyncpg.connect(database.app)
    await connection.execute("SELECT set_config('app.user_id', $1, false)", name)
    await connection.execute(FILL, name, size, count, dated)
    await connection.close()


async def all_pages(tasks: TaskRepository, query: TaskQuery, *, limit: int) -> list[FoundPage]:
    pages = [await tasks.list_page(query, limit=limit)]
    while (after := pages[-1].next) is not None:
        pages.append(await tasks.list_page(query, limit=limit, after=after))
    return pages


def titles(pages: list[FoundPage]) -> list[list[str]]:
    return [[task.title for task in page.tasks] for page in pages]


async def test_match_at_the_far_end_is_found_by_pages_that_examine_no_more_than_the_bound(
    pool: Database, database: DatabaseUrls, name: str
) -> None:
    await fill(database, name, 2 * MAX_EXAMINED + 1)
    tasks = TaskRepository(pool, Owner(name))
    pages = await all_pages(tasks, TaskQuery(completed=True), limit=50)
    assert titles(pages) == [[], [], ["Task 1"]]
    # The first page has examined exactly so many: it stopped at the last of them.
    stop = pages[0].next
    assert stop is not None
    (following,) = (await tasks.list_page(TaskQuery(), limit=1, after=stop)).tasks
    assert following.title == f"Task {MAX_EXAMINED + 1}"


async def test_full_page_examines_no_more_and_loses_none(
    pool: Database, database: DatabaseUrls, name: str
) -> None:
    await fill(database, name, MAX_EXAMINED + 5)
    pages = await all_pages(
        TaskRepository(pool, Owner(name)), TaskQuery(completed=False), limit=MAX_EXAMINED - 1
    )
    # The second page begins after the last task of the first, and not after the last examined.
    assert [len(page.tasks) for page in pages] == [MAX_EXAMINED - 1, 5]
    found = [title for page in titles(pages) for title in page]
    assert found == [f"Task {number}" for number in range(MAX_EXAMINED + 5, 1, -1)]


async def test_page_that_stops_at_a_match_has_it_once(
    pool: Database, database: DatabaseUrls, name: str
) -> None:
    await fill(database, name, MAX_EXAMINED)
    pages = await all_pages(TaskRepository(pool, Owner(name)), TaskQuery(completed=True), limit=50)
    assert titles(pages) == [["Task 1"], []]


async def test_search_examines_as_many_tasks_as_other_filters(
    pool: Database, database: DatabaseUrls, name: str
) -> None:
    await fill(database, name, MAX_EXAMINED + 10)
    tasks = TaskRepository(pool, Owner(name))
    pages = await all_pages(tasks, TaskQuery(q="XX", completed=True), limit=50)
    assert titles(pages) == [[], ["Task 1"]]


async def test_search_stops_after_a_bounded_amount_of_text(
    pool: Database, database: DatabaseUrls, name: str
) -> None:
    await fill(database, name, 250, size=10_000)
    tasks = TaskRepository(pool, Owner(name))
    pages = await all_pages(tasks, TaskQuery(q="XX"), limit=200)
    assert [len(page.tasks) for page in pages] == [100, 100, 50]
    assert len({task.id for page in pages for task in page.tasks}) == 250


@pytest.mark.parametrize(
    ("sort", "filters"),
    [
        ("-due_at", {"due_before": datetime(2030, 1, 5, tzinfo=UTC).isoformat()}),
        ("due_at", {"due_after": datetime(2030, 1, 2, tzinfo=UTC).isoformat()}),
    ],
)
async def test_tasks_without_a_date_are_not_examined_after_those_with_one(
    pool: Database, database: DatabaseUrls, name: str, sort: str, filters: dict[str, str]
) -> None:
    await fill(database, name, MAX_EXAMINED + 10, dated=3)
    query = TaskQuery.model_validate({"sort": sort, **filters})
    (page,) = await all_pages(TaskRepository(pool, Owner(name)), query, limit=50)
    assert {task.title for task in page.tasks} == {"Task 1", "Task 2", "Task 3"}


async def fill_with_others(database: DatabaseUrls, count: int) -> None:
    """Create owners with one task each, and let the planner know."""
    connection = await asyncpg.connect(database.app)
    for number in range(count):
        await connection.execute("SELECT set_config('app.user_id', $1, false)", f"one-{number}")
        await connection.execute(FILL, f"one-{number}", 30, 1, 0)
    await connection.close()
    connection = await asyncpg.connect(database.owner)
    await connection.execute("ANALYZE public.tasks")
    await connection.close()


@pytest.mark.parametrize("sort", get_args(Sort))
async def test_deep_page_within_a_bound_begins_at_its_cursor_and_not_at_the_bound(
    pool: Database, database: DatabaseUrls, name: str, sort: Sort
) -> None:
    # For the planner, an owner has one task, and any way to read all of its tasks is equally good.
    await fill_with_others(database, 500)
    await fill(database, name, 5_000)
    tasks = TaskRepository(pool, Owner(name))
    query = TaskQuery(sort=sort, priority=0)
    after = (await tasks.list_page(query, limit=1_900)).next
    after = (await tasks.list_page(query, limit=1_900, after=after)).next
    assert after is not None
    position = {"after_key": after.key, "after_id": after.id}
    values = {"identity": name, "priority": 0, "limit": 2, **position}
    made = page_statement(sort, frozenset(query.filters), further=True)
    connection = await pool._connections.take()
    explained = await connection.fetchval(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {made.sql}", *made.arguments(values)
    )
    pool._connections.give_back(connection)
    plan = json.loads(explained)[0]["Plan"]
    # The 3,800 tasks before the cursor are on some 50 pages of the index.
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 30, explained


@pytest.fixture
async def impatient(
    database: DatabaseUrls, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A service in which nothing waits long for a connection or a turn."""
    monkeypatch.setattr(execution, "POOL_WAIT_SECONDS", 0.1)
    async with running(create_app(settings_for(database.app, jwks_url=settings.jwks_url))) as made:
        yield made


async def test_searches_of_one_user_run_one_after_the_other_and_too_many_are_429(
    impatient: httpx.AsyncClient,
    alice: httpx.Headers,
    bob: httpx.Headers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end, run, searching = asyncio.Event(), Database.run, 0

    async def slow_for_one(pool: Database, owner: Owner, *statement: object) -> object:
        nonlocal searching
        if "slow" in str(statement[-1]):
            searching += 1
            await end.wait()
        return await run(pool, owner, *statement)  # type: ignore[arg-type] # passed on as they are

    monkeypatch.setattr(Database, "run", slow_for_one)
    first = asyncio.create_task(impatient.get(PATH, headers=alice, params={"q": "slow"}))
    while searching == 0:  # noqa: ASYNC110 - it is behind a request
        await asyncio.sleep(0.01)
    refused = await asyncio.gather(
        *(impatient.get(PATH, headers=alice, params={"q": "slow"}) for _ in range(4))
    )
    for answer in refused:
        assert answer.status_code == HTTPStatus.TOO_MANY_REQUESTS
        assert answer.json()["code"] == "search_busy"
        assert answer.headers["Retry-After"] == "1"
    # Neither the user's other requests nor another user's searches wait for them.
    assert (await impatient.get(PATH, headers=alice)).status_code == HTTPStatus.OK
    assert (await impatient.get(PATH, headers=bob, params={"q": "x"})).status_code == HTTPStatus.OK
    end.set()
    assert (await first).status_code == HTTPStatus.OK
    assert searching == 1
    again = await impatient.get(PATH, headers=alice, params={"q": "slow"})
    assert again.status_code == HTTPStatus.OK
