"""The count of an owner's live tasks: exact under concurrency, corrected before it refuses."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from alembic import command
from sqlalchemy import Connection

from service.database.execution import Database
from service.database.url import parse_database_url
from service.migrations import history, runner
from service.security.owner import Owner
from service.tasks.errors import TaskLimitError
from service.tasks.repository import TaskRepository
from service.tasks.schemas import Task, TaskWrite
from tests.conftest import DatabaseUrls, PostgresServer

NEW = TaskWrite(title="x")
MOST = 5


@pytest.fixture
async def pool(database: DatabaseUrls) -> AsyncIterator[Database]:
    pool = Database(parse_database_url(database.app), pool_size=8)
    yield pool
    await pool.close()


@pytest.fixture
def name() -> str:
    return f"alice-{uuid4()}"


@pytest.fixture
def tasks(pool: Database, name: str) -> TaskRepository:
    return TaskRepository(pool, Owner(name), max_tasks=MOST)


@pytest.fixture
async def by_hand(
    database: DatabaseUrls, name: str
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection as the owner of the tasks, which does not count."""
    connection = await asyncpg.connect(database.app)
    await connection.execute("SELECT set_config('app.user_id', $1, false)", name)
    yield connection
    await connection.close()


INSERT = """
INSERT INTO tasks VALUES ($1, gen_random_uuid(), 'x', NULL, false, 0, NULL, now(), now(), NULL, 1)
"""
COUNTED = "SELECT live FROM task_counts"
LIVE = "SELECT count(*) FROM tasks WHERE deleted_at IS NULL"


async def test_creations_at_the_same_moment_do_not_pass_the_limit(tasks: TaskRepository) -> None:
    plain = [tasks.create(NEW) for _ in range(20)]
    keyed = [tasks.create_once(NEW, f"key {n}") for n in range(20)]
    found = await asyncio.gather(*plain, *keyed, return_exceptions=True)
    assert sum(isinstance(each, TaskLimitError) for each in found) == len(found) - MOST


async def test_restorations_and_creations_do_not_pass_the_limit(
    tasks: TaskRepository, by_hand: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    gone = [await tasks.create(NEW) for _ in range(MOST)]
    assert all([await tasks.delete(task.id) for task in gone])
    assert await by_hand.fetchval(COUNTED) == 0
    found = await asyncio.gather(
        *(tasks.restore(task.id) for task in gone),
        *(tasks.create(NEW) for _ in range(MOST)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, Task) for each in found) == MOST
    assert await by_hand.fetchval(COUNTED) == await by_hand.fetchval(LIVE) == MOST


async def test_deleting_one_of_two_at_once_counts_once(
    tasks: TaskRepository, by_hand: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    first, _ = await tasks.create(NEW), await tasks.create(NEW)
    done = await asyncio.gather(*(tasks.delete(first.id) for _ in range(6)))
    assert sum(done) == 1
    assert await by_hand.fetchval(COUNTED) == 1
    restored = await asyncio.gather(*(tasks.restore(first.id) for _ in range(6)))
    assert all(task is not None for task in restored)
    assert await by_hand.fetchval(COUNTED) == 2


async def test_refusal_leaves_the_key_free_and_the_count_as_it_was(
    tasks: TaskRepository, by_hand: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    made = [await tasks.create(NEW) for _ in range(MOST)]
    with pytest.raises(TaskLimitError):
        await tasks.create_once(NEW, "key")
    assert await by_hand.fetchval("SELECT count(*) FROM idempotency_keys") == 0
    assert await by_hand.fetchval(COUNTED) == MOST
    await tasks.delete(made[0].id)
    assert (await tasks.create_once(NEW, "key"))[1] is True


async def test_limit_is_believed_only_after_a_count(
    tasks: TaskRepository, by_hand: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """An older version of the service, which does not count, may run meanwhile."""
    made = [await tasks.create(NEW) for _ in range(MOST)]
    await by_hand.execute("UPDATE tasks SET deleted_at = now() WHERE id = $1", made[0].id)
    await by_hand.execute("UPDATE tasks SET deleted_at = now() WHERE id = $1", made[1].id)
    await tasks.create(NEW)
    assert await by_hand.fetchval(COUNTED) == await by_hand.fetchval(LIVE) == MOST - 1
    assert await tasks.restore(made[0].id)
    with pytest.raises(TaskLimitError):
        await tasks.restore(made[1].id)


async def test_tasks_that_were_not_counted_are_counted_with_the_first_that_is(
    tasks: TaskRepository, by_hand: "asyncpg.Connection[asyncpg.Record]", name: str
) -> None:
    for _ in range(MOST):
        await by_hand.execute(INSERT, name)
    with pytest.raises(TaskLimitError):
        await tasks.create(NEW)
    assert await by_hand.fetchval(COUNTED) == MOST


async def test_deleting_a_task_that_was_not_counted_is_no_error(
    tasks: TaskRepository, by_hand: "asyncpg.Connection[asyncpg.Record]", name: str
) -> None:
    counted = await tasks.create(NEW)
    await by_hand.execute(INSERT, name)
    for row in await by_hand.fetch("SELECT id FROM tasks"):
        assert await tasks.delete(row["id"])
    assert await tasks.get(counted.id) is None
    assert await by_hand.fetchval(COUNTED) == 0


async def test_migration_counts_the_live_tasks_there_are(postgres: PostgresServer) -> None:
    urls = await postgres.make_database(f"counted_{secrets.token_hex(4)}")

    def half_way(connection: Connection) -> list[str]:
        config = history.config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        return []

    await runner._read(parse_database_url(urls.owner), half_way)
    as_app = await asyncpg.connect(urls.app)
    for owner, number in (("alice", 3), ("bob", 1), ("carol", 1)):
        await as_app.execute("SELECT set_config('app.user_id', $1, false)", owner)
        for _ in range(number):
            await as_app.execute(INSERT, owner)
    await as_app.execute("UPDATE tasks SET deleted_at = now()")  # Carol's
    assert await runner.upgrade(parse_database_url(urls.owner)) != []
    found = {}
    for owner in ("alice", "bob", "carol"):
        await as_app.execute("SELECT set_config('app.user_id', $1, false)", owner)
        found[owner] = await as_app.fetchval(COUNTED)
    await as_app.close()
    assert found == {"alice": 3, "bob": 1, "carol": None}
    pool = Database(parse_database_url(urls.app), pool_size=1)
    await pool.check()  # FORCE is set again
    await pool.close()
