"""Migrations of a database in use: short waits for locks, pauses, and an end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import asyncpg
import pytest

from service.database.execution import Database
from service.database.url import parse_database_url
from service.migrations.attempts import Patience
from service.migrations.errors import MigrationError
from service.migrations.runner import pending, upgrade
from service.security.owner import Owner
from service.tasks.query import TaskQuery
from service.tasks.repository import TaskRepository
from service.tasks.schemas import TaskWrite
from tests.conftest import DatabaseUrls
from tests.service.migrations.conftest import NextRelease

ADD_COLUMN = 'op.execute("ALTER TABLE public.tasks ADD COLUMN estimate integer")'
ADD_INDEX = 'create_index("tasks_by_title", "ON public.tasks (owner_id, title)")'
ADD_UNIQUE = 'create_index("tasks_by_title", "ON public.tasks (title)", unique=True)'
NAME = "0008 Next"
BRIEF = Patience(give_up_seconds=5)


@dataclass
class Pauses:
    """A clock that moves when `migrate` sleeps. Each sleep waits for `during` instead."""

    during: AsyncIterator[None] | None = None
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.during is not None:
            await anext(self.during, None)

    def patience(self, **changes: float) -> Patience:
        return Patience(
            **{"lock_seconds": 0.05, **changes}, sleep=self.sleep, clock=lambda: sum(self.slept)
        )


@asynccontextmanager
async def session(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def reader(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A transaction that has read the table of tasks and stays open."""
    async with session(url) as connection:
        await connection.execute("BEGIN; SELECT count(*) FROM public.tasks")
        yield connection


async def test_fault75_requests_go_on_while_a_migration_waits_behind_a_long_reader(
    migrated: DatabaseUrls, next_release: NextRelease
) -> None:
    next_release(ADD_COLUMN)
    pool = Database(parse_database_url(migrated.app), pool_size=2)
    tasks = TaskRepository(pool, Owner(f"alice-{uuid4()}"))
    waits: list[str] = []

    async with reader(migrated.app) as open_transaction:

        async def during() -> AsyncIterator[None]:
            for number in range(3):
                await tasks.create(TaskWrite(title=f"during pause {number}"))
                yield
            await open_transaction.execute("ROLLBACK")
            yield

        pauses = Pauses(during())
        migration = asyncio.create_task(
            upgrade(
                parse_database_url(migrated.owner),
                patience=pauses.patience(),
                waiting=waits.append,
            )
        )
        # Requests of the whole time, also of the moments in which the migration waits for its lock.
        while not migration.done():
            await tasks.list_page(TaskQuery(), limit=1)
    assert await migration == [NAME]
    assert pauses.slept == [1, 2, 4, 8]
    assert waits[0] == f"{NAME}: attempt 1 could not lock its tables; trying again in 1 s"
    assert len(waits) == 4
    await pool.close()


async def test_migration_that_gives_up_names_the_session_and_is_applied_by_the_next_run(
    migrated: DatabaseUrls, next_release: NextRelease
) -> None:
    next_release(ADD_COLUMN)
    url = parse_database_url(migrated.owner)
    pauses = Pauses()
    async with reader(migrated.app) as connection:
        pid = connection.get_server_pid()
        with pytest.raises(MigrationError) as raised:
            await upgrade(url, patience=pauses.patience(give_up_seconds=30))
    assert pauses.slept == [1, 2, 4, 8, 10]
    told = str(raised.value)
    assert told.startswith(f"{NAME}: could not lock its tables in 25 s (attempts: 6);")
    assert f"locks all the time: {pid} (role app). End them" in told
    assert "\n" not in told
    assert await pending(url) == [NAME]
    assert await upgrade(url) == [NAME]


async def test_statement_that_takes_too_long_is_not_tried_again(
    migrated: DatabaseUrls, next_release: NextRelease
) -> None:
    next_release('op.execute("SELECT pg_sleep(60)")')
    pauses = Pauses()
    with pytest.raises(MigrationError, match=r"after 0\.05 s, .* a longer --statement-timeout"):
        await upgrade(
            parse_database_url(migrated.owner), patience=pauses.patience(statement_seconds=0.05)
        )
    assert pauses.slept == []


async def test_migration_that_fails_leaves_those_before_it_applied(
    migrated: DatabaseUrls, next_release: NextRelease
) -> None:
    next_release('op.execute("CREATE TABLE public.half_way ()"); op.execute("SELECT 1 / 0")')
    done: list[str] = []
    with pytest.raises(MigrationError, match=f"^{NAME}: division by zero$"):
        await upgrade(parse_database_url(migrated.owner), applied=done.append)
    assert done == []
    async with session(migrated.owner) as connection:
        assert await connection.fetchval("SELECT to_regclass('public.half_way')") is None
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == "0007"


async def test_run_that_waits_for_another_says_so_and_gives_up(migrated: DatabaseUrls) -> None:
    url = parse_database_url(migrated.owner)
    pauses = Pauses()
    waits: list[str] = []
    async with session(migrated.owner) as other:
        await other.execute("SELECT pg_advisory_lock(7340921866005417)")
        with pytest.raises(MigrationError, match=r"another migrate still works .* after 2 s"):
            await upgrade(url, patience=pauses.patience(give_up_seconds=2), waiting=waits.append)
    assert len(waits) == 1
    assert set(pauses.slept) == {0.2}
    assert await upgrade(url) == []


async def test_index_is_built_while_a_writer_has_the_table(
    migrated: DatabaseUrls, next_release: NextRelease
) -> None:
    next_release(ADD_INDEX, autocommit=True)
    async with session(migrated.app) as writer:
        # A plain CREATE INDEX would wait for this transaction, and block later writers meanwhile.
        await writer.execute("BEGIN; LOCK TABLE public.tasks IN ROW EXCLUSIVE MODE")
        pauses = Pauses()
        with pytest.raises(MigrationError, match="an unfinished index is dropped by the next run"):
            await upgrade(
                parse_database_url(migrated.owner), patience=pauses.patience(give_up_seconds=0.2)
            )
        async with session(migrated.app) as other:
            await other.execute("SET lock_timeout = '100ms'; SET app.user_id = 'alice'")
            await other.execute("SELECT public.delete_task('alice', gen_random_uuid(), NULL)")
    assert await states_of_the_index(migrated) == [False]
    assert await upgrade(parse_database_url(migrated.owner), patience=BRIEF) == [NAME]
    assert await states_of_the_index(migrated) == [True]


async def test_index_of_a_failed_build_is_dropped_and_built_again(
    migrated: DatabaseUrls, next_release: NextRelease
) -> None:
    next_release(ADD_UNIQUE, autocommit=True)
    url = parse_database_url(migrated.owner)
    pool = Database(parse_database_url(migrated.app), pool_size=1)
    tasks = TaskRepository(pool, Owner("alice"))
    twins = [await tasks.create(TaskWrite(title="twin")) for _ in range(2)]
    with pytest.raises(MigrationError, match=f"^{NAME}: could not create unique index"):
        await upgrade(url, patience=BRIEF)
    assert await states_of_the_index(migrated) == [False]
    assert await pending(url) == [NAME]
    await tasks.change(twins[0].id, {"title": "other"})
    assert await upgrade(url, patience=BRIEF) == [NAME]
    assert await states_of_the_index(migrated) == [True]
    assert await pending(url) == []
    await pool.close()


async def test_index_that_was_built_before_the_run_died_is_kept(
    migrated: DatabaseUrls, next_release: NextRelease
) -> None:
    next_release(ADD_INDEX, autocommit=True)
    async with session(migrated.owner) as connection:
        await connection.execute("CREATE INDEX tasks_by_title ON public.tasks (owner_id, title)")
        built = await connection.fetchval("SELECT 'public.tasks_by_title'::regclass::oid")
        assert await upgrade(parse_database_url(migrated.owner)) == [NAME]
        assert await connection.fetchval("SELECT 'public.tasks_by_title'::regclass::oid") == built


async def states_of_the_index(urls: DatabaseUrls) -> list[bool]:
    """Return whether the index is valid, if there is one."""
    async with session(urls.owner) as connection:
        rows = await connection.fetch(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('tasks_by_title')"
        )
    return [row["indisvalid"] for row in rows]
