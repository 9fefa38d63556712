"""Transactions of other programs that meet ours: locked rows, deadlocks, too old snapshots."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from scripts.devstack.postgres.roles import drop_database
from service.database.execution import Database, DatabaseUnavailableError, LockTimeoutError
from service.database.url import parse_database_url
from service.migrations.runner import upgrade
from service.security.owner import Owner
from service.tasks.repository import TaskRepository
from service.tasks.schemas import Task, TaskWrite
from tests.conftest import DatabaseUrls, PostgresServer

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
"""A connection as superuser, which is another program that meets ours."""
WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename = 'app' AND wait_event_type = 'Lock'
"""


@pytest.fixture
async def meeting(postgres: PostgresServer) -> AsyncIterator[DatabaseUrls]:
    """A database of one test, in which deadlocks are noticed at once."""
    name = f"meeting_{secrets.token_hex(4)}"
    urls = await postgres.make_database(name)
    await upgrade(parse_database_url(urls.owner))
    async with admin_of(postgres, urls) as admin:
        await admin.execute(f"ALTER ROLE app IN DATABASE {name} SET deadlock_timeout = '10ms'")
    yield urls
    await drop_database(postgres.superuser_url, name)


@asynccontextmanager
async def admin_of(postgres: PostgresServer, urls: DatabaseUrls) -> AsyncIterator[Admin]:
    url = make_url(postgres.superuser_url).set(database=make_url(urls.app).database)
    admin = await asyncpg.connect(url.render_as_string(hide_password=False))
    try:
        yield admin
    finally:
        await admin.close()


async def until_waiting(admin: Admin) -> None:
    """Wait until a statement of ours waits for a lock."""
    async with asyncio.timeout(10):
        while not await admin.fetchval(WAITING):
            # Otherwise, it is always the snapshot of the transaction's first look.
            await admin.execute("SELECT pg_stat_clear_snapshot()")


async def test_fault54_row_that_stays_locked_is_unavailable_after_the_lock_timeout(
    postgres: PostgresServer, meeting: DatabaseUrls
) -> None:
    pool = Database(parse_database_url(meeting.app), pool_size=1)
    tasks = TaskRepository(pool, Owner(str(uuid4())))
    task = await tasks.create(TaskWrite(title="x"))
    async with admin_of(postgres, meeting) as other, other.transaction():
        await other.execute("SELECT FROM tasks WHERE id = $1 FOR UPDATE", task.id)
        with pytest.raises(LockTimeoutError):
            await tasks.change(task.id, {"title": "y"})
    changed = await tasks.change(task.id, {"title": "y"})
    assert changed is not None
    assert changed.version == task.version + 1
    await pool.close()


async def deadlock(
    other: Admin, tasks: TaskRepository, task: Task, owner: str
) -> "asyncio.Future[bool]":
    """Hold what a deletion needs second, and then ask for what it has."""
    await other.execute("SET deadlock_timeout = '1min'")  # ours is the one that is ended
    async with other.transaction():
        await other.execute("SELECT FROM task_counts WHERE owner_id = $1 FOR UPDATE", owner)
        deleting = asyncio.ensure_future(tasks.delete(task.id))
        await until_waiting(other)
        await other.execute("SELECT FROM tasks WHERE id = $1 FOR UPDATE", task.id)
    return deleting


async def old_snapshot(
    other: Admin, tasks: TaskRepository, task: Task, _owner: str
) -> "asyncio.Future[bool]":
    """Change a row after our snapshot was taken."""
    async with other.transaction():
        await other.execute("UPDATE tasks SET priority = 3 WHERE id = $1", task.id)
        deleting = asyncio.ensure_future(tasks.delete(task.id))
        await until_waiting(other)
    return deleting


@pytest.mark.parametrize("meet", [deadlock, old_snapshot])
async def test_fault54_transaction_that_the_server_rolled_back_is_repeated(
    postgres: PostgresServer,
    meeting: DatabaseUrls,
    meet: Callable[[Admin, TaskRepository, Task, str], Awaitable["asyncio.Future[bool]"]],
) -> None:
    owner = str(uuid4())
    async with admin_of(postgres, meeting) as other:
        if meet is old_snapshot:
            await other.execute(
                f"ALTER ROLE app IN DATABASE {make_url(meeting.app).database}"
                " SET default_transaction_isolation = 'repeatable read'"
            )
        pool = Database(parse_database_url(meeting.app), pool_size=1)
        tasks = TaskRepository(pool, Owner(owner))
        task = await tasks.create(TaskWrite(title="x"))
        deleting = await meet(other, tasks, task, owner)
        assert await deleting is True
        assert await tasks.get(task.id) is None
        await pool.close()


@pytest.mark.parametrize("budget", [0.2, 30])
async def test_fault53_statement_that_is_given_up_is_cancelled_in_the_server(
    postgres: PostgresServer, meeting: DatabaseUrls, budget: float
) -> None:
    """Otherwise, each of them would keep a process of the server until its lock is free."""
    pool = Database(parse_database_url(meeting.app), pool_size=1, budget=budget)
    tasks = TaskRepository(pool, Owner(str(uuid4())))
    task = await tasks.create(TaskWrite(title="x"))
    async with admin_of(postgres, meeting) as other, other.transaction():
        await other.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        getting = asyncio.ensure_future(tasks.get(task.id))
        if budget > 1:
            await until_waiting(other)
            getting.cancel()
        with pytest.raises((DatabaseUnavailableError, asyncio.CancelledError)):
            await getting
        async with asyncio.timeout(10):
            while await other.fetchval(WAITING):
                await other.execute("SELECT pg_stat_clear_snapshot()")
    assert await tasks.get(task.id) == task
    await pool.close()
