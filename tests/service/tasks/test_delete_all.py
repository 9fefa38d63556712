"""All tasks of an owner deleted at once, beside everything else that changes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias
from uuid import uuid4

import asyncpg
import pytest

from service.database.execution import Database, LockTimeoutError
from service.database.statements import Statement, Step
from service.database.url import parse_database_url
from service.security.owner import Owner
from service.tasks.query import TaskQuery
from service.tasks.repository import TaskRepository
from service.tasks.schemas import TaskWrite
from tests.conftest import DatabaseUrls

ByHand: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
NEW = TaskWrite(title="x")
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename = 'app' AND wait_event_type = 'Lock'
"""
LIVE = "SELECT count(*) FROM tasks WHERE deleted_at IS NULL"
COUNTED = "SELECT coalesce(sum(live), 0) FROM task_counts"
# What a creation does, in its order.
COUNT = """
INSERT INTO task_counts VALUES ($1, 1)
ON CONFLICT (owner_id) DO UPDATE SET live = task_counts.live + 1
"""
INSERT = """
INSERT INTO tasks VALUES ($1, gen_random_uuid(), 'x', NULL, false, 0, NULL, now(), now(), NULL, 1)
"""


@pytest.fixture
async def pool(database: DatabaseUrls) -> AsyncIterator[Database]:
    pool = Database(parse_database_url(database.app), pool_size=8)
    yield pool
    await pool.close()


@pytest.fixture
def alice() -> Owner:
    return Owner(f"alice-{uuid4()}")


@pytest.fixture
def tasks(pool: Database, alice: Owner) -> TaskRepository:
    return TaskRepository(pool, alice)


@asynccontextmanager
async def connected_as(database: DatabaseUrls, owner: Owner) -> AsyncIterator[ByHand]:
    connection = await asyncpg.connect(database.app)
    await connection.execute("SELECT set_config('app.user_id', $1, false)", owner.id)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def by_hand(database: DatabaseUrls, alice: Owner) -> AsyncIterator[ByHand]:
    """A connection as the owner, beside the service."""
    async with connected_as(database, alice) as connection:
        yield connection


async def until_waiting(connection: ByHand, number: int = 1) -> None:
    """Wait until so many statements of the service wait for locks."""
    async with asyncio.timeout(10):
        while await connection.fetchval(WAITING) < number:
            # In a transaction, it is always the snapshot of its first look.
            await connection.execute("SELECT pg_stat_clear_snapshot()")


async def outcome(tasks: TaskRepository, by_hand: ByHand) -> tuple[int, int, int]:
    """Return the number of listed tasks, of live rows, and the count."""
    listed = len((await tasks.list_page(TaskQuery(), limit=100)).tasks)
    return listed, await by_hand.fetchval(LIVE), await by_hand.fetchval(COUNTED)


async def test_each_task_is_deleted_as_if_one_by_one(
    tasks: TaskRepository, by_hand: ByHand
) -> None:
    kept = [await tasks.create(NEW) for _ in range(3)]
    earlier = await tasks.create(NEW)
    await tasks.delete(earlier.id)
    marked = await by_hand.fetch("SELECT id, deleted_at FROM tasks WHERE deleted_at IS NOT NULL")
    assert await tasks.delete_all() == []
    assert await outcome(tasks, by_hand) == (0, 0, 0)
    rows = await by_hand.fetch("SELECT id, version, updated_at, deleted_at FROM tasks")
    assert {row["version"] for row in rows} == {2}
    assert {row["updated_at"] for row in rows} == {each.updated_at for each in (*kept, earlier)}
    assert next(row for row in rows if row["id"] == earlier.id)["deleted_at"] == marked[0][1]
    restored = await tasks.restore(kept[0].id)
    assert restored is not None
    assert restored.version == 3
    assert await outcome(tasks, by_hand) == (1, 1, 1)


async def test_another_owners_tasks_and_count_stay(
    tasks: TaskRepository, pool: Database, database: DatabaseUrls
) -> None:
    bob = Owner(f"bob-{uuid4()}")
    his = TaskRepository(pool, bob)
    made = await his.create(NEW)
    await tasks.create(NEW)
    await tasks.delete_all()
    assert await his.get(made.id) == made
    async with connected_as(database, bob) as connection:
        assert await outcome(his, connection) == (1, 1, 1)


async def test_owner_without_tasks_has_a_count_of_none(
    tasks: TaskRepository, by_hand: ByHand
) -> None:
    for _ in range(2):
        await tasks.delete_all()
    (row,) = await by_hand.fetch("SELECT live FROM task_counts")
    assert row["live"] == 0


@pytest.mark.parametrize("number", [0, 1], ids=["the first one", "a further one"])
async def test_fault92_task_that_is_being_created_is_waited_for_and_deleted(
    tasks: TaskRepository, alice: Owner, by_hand: ByHand, number: int
) -> None:
    for _ in range(number):
        await tasks.create(NEW)
    async with by_hand.transaction():
        for statement in (COUNT, INSERT):
            await by_hand.execute(statement, alice.id)
        deleting = asyncio.ensure_future(tasks.delete_all())
        await until_waiting(by_hand)
    await deleting
    assert await outcome(tasks, by_hand) == (0, 0, 0)


async def test_fault92_task_that_waited_for_the_deletion_is_counted_and_deleted_by_the_next_one(
    tasks: TaskRepository, by_hand: ByHand
) -> None:
    await tasks.create(NEW)
    await by_hand.execute("SELECT pg_advisory_lock(92)")
    hold: Step = (Statement("SELECT pg_advisory_xact_lock(92)"), {})
    deleting = asyncio.ensure_future(tasks.delete_all(hold))
    await until_waiting(by_hand)
    creating = asyncio.ensure_future(tasks.create(NEW))
    await until_waiting(by_hand, 2)
    await by_hand.execute("SELECT pg_advisory_unlock(92)")
    await asyncio.gather(deleting, creating)
    assert await outcome(tasks, by_hand) == (1, 1, 1)
    await tasks.delete_all()
    assert await outcome(tasks, by_hand) == (0, 0, 0)


async def test_fault92_everything_at_once_ends_without_an_error_and_with_the_right_count(
    tasks: TaskRepository, by_hand: ByHand
) -> None:
    gone = [await tasks.create(NEW) for _ in range(10)]
    there = [await tasks.create(NEW) for _ in range(20)]
    for task in gone:
        await tasks.delete(task.id)
    await asyncio.gather(
        *(tasks.delete(task.id) for task in there[:10]),
        tasks.delete_all(),
        *(tasks.change(task.id, {"title": "y"}) for task in there),
        *(tasks.create(NEW) for _ in range(10)),
        *(tasks.restore(task.id) for task in gone),
        tasks.delete_all(),
        *(tasks.create_once(NEW, f"key {number}") for number in range(10)),
    )
    _, live, counted = await outcome(tasks, by_hand)
    assert live == counted
    await tasks.delete_all()
    assert await outcome(tasks, by_hand) == (0, 0, 0)


async def test_locked_task_is_503_after_the_lock_timeout_and_nothing_is_deleted(
    tasks: TaskRepository, by_hand: ByHand
) -> None:
    first, other = await tasks.create(NEW), await tasks.create(NEW)
    async with by_hand.transaction():
        await by_hand.execute("SELECT FROM tasks WHERE id = $1 FOR UPDATE", other.id)
        with pytest.raises(LockTimeoutError):
            await tasks.delete_all()
    assert await tasks.get(first.id) == first
    assert await outcome(tasks, by_hand) == (2, 2, 2)
