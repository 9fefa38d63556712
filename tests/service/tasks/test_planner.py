"""The single statements and the functions under any plan that PostgreSQL may choose.

A statement sets the identity that it needs. A plan that reads a row or evaluates the policy before
that would return nothing, or the rows of the previous user of the connection.
"""

import random
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any, get_args

import asyncpg
import pytest

from service.database.execution import Database
from service.database.url import parse_database_url
from service.migrations.runner import upgrade
from service.security.owner import Owner
from service.tasks import listing
from service.tasks.cursor import Position
from service.tasks.errors import StaleVersionError
from service.tasks.query import Sort, TaskQuery
from service.tasks.repository import TaskRepository
from service.tasks.schemas import Task, TaskWrite
from tests.conftest import DatabaseUrls, PostgresServer
from tests.service.tasks.filters import without_filter

TRIALS = 60
SWITCHES = [
    f"enable_{name}"
    for name in (
        "seqscan",
        "indexscan",
        "indexonlyscan",
        "bitmapscan",
        "hashjoin",
        "mergejoin",
        "nestloop",
        "material",
        "memoize",
        "sort",
        "incremental_sort",
        "hashagg",
    )
]
CHOICES: dict[str, list[str]] = {
    "plan_cache_mode": ["auto", "force_generic_plan", "force_custom_plan"],
    "join_collapse_limit": ["1", "8"],
    "from_collapse_limit": ["1", "8"],
    "random_page_cost": ["0.1", "4", "100"],
    "cpu_tuple_cost": ["0.0001", "0.01", "1"],
    "work_mem": ["64kB", "64MB"],
    "debug_parallel_query": ["off", "on", "regress"],
    "parallel_setup_cost": ["0", "1000"],
    "min_parallel_table_scan_size": ["0", "8MB"],
    "jit_above_cost": ["0", "100000"],
}
FILL = """
INSERT INTO tasks
SELECT 'owner-' || n % 50, gen_random_uuid(), 'Of owner ' || n % 50, NULL, n % 3 = 0, n % 4,
       CASE WHEN n % 5 > 0 THEN now() END, now(), now(), NULL, 1
FROM generate_series(1, $1) AS n
"""


@pytest.fixture(params=[0, 20_000], ids=["tiny table", "big table"])
async def urls(postgres: PostgresServer, request: pytest.FixtureRequest) -> DatabaseUrls:
    """A database with few tasks, or with many."""
    name = f"planner_{secrets.token_hex(4)}"
    urls = await postgres.make_database(name)
    await upgrade(parse_database_url(urls.owner))
    admin = await asyncpg.connect(postgres.superuser_url.rpartition("/")[0] + f"/{name}")
    await admin.execute(FILL, request.param)
    if request.param:
        await admin.execute("VACUUM ANALYZE tasks")
    await admin.close()
    return urls


@pytest.fixture
def owner_url(urls: DatabaseUrls) -> str:
    return urls.owner


@pytest.fixture
async def pool(urls: DatabaseUrls) -> AsyncIterator[Database]:
    """A pool of one connection."""
    pool = Database(parse_database_url(urls.app), pool_size=1)
    yield pool
    await pool.close()


async def run(pool: Database, *statements: str) -> object:
    """Execute statements on the pool's one connection. Return the value of the last one."""
    connection = await pool._connections.take()
    for statement in statements[:-1]:
        await connection.execute(statement)
    value: object = await connection.fetchval(statements[-1])
    pool._connections.give_back(connection)
    return value


def settings(chance: random.Random) -> list[str]:
    off = [f"SET {name} = off" for name in SWITCHES if chance.random() < 0.3]
    chosen = [f"SET {name} = '{chance.choice(values)}'" for name, values in CHOICES.items()]
    return ["RESET ALL", *off, *chosen, "DISCARD PLANS"]


LONG_AGO = "2001-01-01T00:00:00Z"


def matches(task: Task, query: TaskQuery) -> bool:
    """Return whether a task of owner 7 passes a query's filters: all of them have one title."""
    return not (query.completed is False and task.completed) and not (
        query.due_after is not None and task.due_at is None
    )


def in_order(tasks: list[Task], sort: str) -> list[Task]:
    """Return the tasks as a list in this sort has them: those without a value are last."""
    name, backwards = sort.removeprefix("-"), sort.startswith("-")

    def place(task: Task) -> tuple[Any, str]:
        return getattr(task, name), str(task.id)

    there = [task for task in tasks if getattr(task, name) is not None]
    missing = [task for task in tasks if getattr(task, name) is None]
    missing.sort(key=lambda task: str(task.id), reverse=backwards)
    return sorted(there, key=place, reverse=backwards) + missing


async def all_of(tasks: TaskRepository, query: TaskQuery, *, limit: int) -> list[Task]:
    """Return the tasks of all pages."""
    page = await tasks.list_page(query, limit=limit)
    found = page.tasks
    while page.next is not None:
        page = await tasks.list_page(query, limit=limit, after=page.next)
        found += page.tasks
    return found


@pytest.fixture(params=[None, (20, 150)], ids=["real bounds", "tight bounds"])
def bounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Bounds on what a page examines: the real ones, and ones that most lists here meet."""
    if request.param is not None:
        names = ("MAX_EXAMINED", "MAX_SEARCHED_BYTES")
        for name, bound in zip(names, request.param, strict=True):
            monkeypatch.setattr(listing, name, bound)
    listing.page_statement.cache_clear()
    yield
    listing.page_statement.cache_clear()


@pytest.mark.usefixtures("bounds")
async def test_row_of_another_is_never_read_whatever_the_plan(pool: Database) -> None:
    chance = random.Random(20)  # noqa: S311 - reproducible, not secret
    alice, bob = (TaskRepository(pool, Owner(name)) for name in ("owner-7", "owner-8"))
    hers = [await alice.create(TaskWrite(title="Of owner 7", priority=n % 4)) for n in range(3)]
    gone = await alice.create(TaskWrite(title="Of owner 7"))
    await alice.delete(gone.id)
    his = await bob.create(TaskWrite(title="Of owner 8"))
    everything = await all_of(alice, TaskQuery(), limit=1000)
    for trial in range(TRIALS):
        stale = chance.choice(["owner-8", "owner-7", "", None])
        leave = "SELECT 1" if stale is None else f"SET app.user_id = '{stale}'"
        await run(pool, *settings(chance), leave, "SELECT 1")
        query = TaskQuery.model_validate(
            {
                "sort": chance.choice(get_args(Sort)),
                "completed": chance.choice([None, False]),
                "due_after": chance.choice([None, None, LONG_AGO]),
                "updated_since": chance.choice([None, None, LONG_AGO]),
                "q": chance.choice([None, "owner 7"]),
            }
        )
        found = await all_of(alice, query, limit=chance.choice([40, 1000]))
        expected = [task for task in everything if matches(task, query)]
        assert len(found) == len(expected), trial
        assert {task.id for task in found} == {task.id for task in expected}, trial
        assert found == in_order(found, query.sort), trial
        if found:
            key = getattr(found[0], query.sort.removeprefix("-"))
            further = await alice.list_page(query, limit=5, after=Position(key, found[0].id))
            assert further.tasks == found[1:6][: len(further.tasks)], trial
            assert len(further.tasks) == len(found[1:6]) or further.next is not None, trial
        assert await alice.get(hers[0].id) == hers[0], trial
        assert await alice.get(his.id) is None, trial
        made: Task = await alice.create(TaskWrite(title="Of owner 7"))
        everything = [made, *everything]
        assert await bob.get(made.id) is None, trial
        everything = await changes(alice, hers, his, everything, chance)
        # The previous identity is set again, and no row of hers is returned.
        left = await run(pool, "SELECT current_setting('app.user_id', true)")
        assert left == stale or (stale is None and left in (None, "")), trial
    assert await alice.restore(gone.id) is not None
    assert len(await all_of(alice, TaskQuery(), limit=1000)) == len(everything) + 1


async def changes(
    alice: TaskRepository,
    hers: list[Task],
    his: Task,
    everything: list[Task],
    chance: random.Random,
) -> list[Task]:
    """Call each function on Alice's tasks and on Bob's. Return Alice's tasks afterwards."""
    for versions in (None, frozenset({his.version})):
        refused = alice.change(his.id, {"title": "Taken"}, versions=versions)
        assert await refused is None
        assert await alice.delete(his.id, versions=versions) is False
    assert await alice.restore(his.id) is None
    before = next(task for task in everything if task.id == hers[1].id)
    with pytest.raises(StaleVersionError):
        await alice.change(before.id, {"priority": 1}, versions=frozenset({before.version + 1}))
    versions = chance.choice([None, frozenset({before.version})])
    changed = await alice.change(before.id, {"priority": chance.randrange(4)}, versions=versions)
    assert changed is not None
    assert changed.version == before.version + 1
    assert await alice.delete(changed.id, versions=frozenset({changed.version}))
    assert await alice.get(changed.id) is None
    restored = await alice.restore(changed.id)
    assert restored is not None
    kept, is_new = await alice.create_once(TaskWrite(title="Of owner 7"), "the same key")
    assert is_new is (kept.id not in {task.id for task in everything})
    others = [task for task in everything if task.id not in (kept.id, restored.id)]
    now = [task for task in everything if task.id == kept.id] or [kept]
    return sorted([*others, *now, restored], key=lambda task: (task.created_at, task.id))[::-1]


async def test_policies_hold_in_the_functions_without_the_filter_whatever_the_plan(
    pool: Database, owner_url: str
) -> None:
    repository = await without_filter(owner_url)
    chance = random.Random(21)  # noqa: S311 - reproducible, not secret
    alice, bob = (repository.TaskRepository(pool, Owner(name)) for name in ("owner-7", "owner-8"))
    hers = await alice.create(TaskWrite(title="Of owner 7"))
    his = await bob.create(TaskWrite(title="Of owner 8"))
    for trial in range(TRIALS):
        await run(pool, *settings(chance), f"SET app.user_id = '{chance.choice(OWNERS)}'")
        assert await alice.change(his.id, {"title": "Taken"}) is None, trial
        assert await alice.delete(his.id) is False, trial
        assert await alice.restore(his.id) is None, trial
        changed = await alice.change(hers.id, {"priority": trial % 4})
        assert changed.version == hers.version + trial + 1, trial
    assert await bob.get(his.id) == his


OWNERS = ("owner-8", "owner-7", "")
