"""Statements that share a connection: none leaves an identity or unfinished work to the next."""

import asyncio

import asyncpg
import pytest

from service.database.execution import Database, DatabaseUnavailableError
from service.database.statements import Statement
from service.database.url import parse_database_url
from service.tasks.query import TaskQuery
from service.tasks.repository import TaskRepository
from service.tasks.schemas import TaskWrite
from tests.conftest import DatabaseUrls
from tests.service.database.owners import NEW, owner
from tests.simulators.pooler import needs_pgbouncer, pooled


async def identity_on(pool: Database) -> object:
    """Return the setting on the pool's one connection, outside any unit of work."""
    connection = await pool._connections.take()
    identity: object = await connection.fetchval("SELECT current_setting('app.user_id', true)")
    pool._connections.give_back(connection)
    return identity


async def backend_of(pool: Database) -> int:
    """Return the process behind the pool's one connection."""
    ((process,),) = await pool.execute(Statement("SELECT pg_backend_pid()"), {})
    number: int = process
    return number


async def test_identity_does_not_outlive_its_statement(pool: Database) -> None:
    alice, bob = owner(), owner()
    task = await TaskRepository(pool, alice).create(NEW)
    for _ in range(3):
        assert await TaskRepository(pool, alice).get(task.id) == task
        assert await TaskRepository(pool, bob).get(task.id) is None
        assert await TaskRepository(pool, bob).change(task.id, {"title": "y"}) is None
        assert await TaskRepository(pool, bob).delete(task.id) is False
    assert await identity_on(pool) in (None, "")


async def test_many_owners_on_one_connection_see_only_their_own_tasks(pool: Database) -> None:
    repositories = [TaskRepository(pool, owner()) for _ in range(10)]
    made = [await tasks.create(TaskWrite(title=str(n))) for n, tasks in enumerate(repositories)]

    async def see(number: int) -> None:
        for _ in range(5):
            page = await repositories[number].list_page(TaskQuery(), limit=9)
            assert page.tasks == [made[number]]

    await asyncio.gather(*(see(number) for number in range(10)))


SLEEP = Statement("SELECT pg_sleep(5)")


SLEEP_AS_OWNER = Statement("SELECT set_config('app.user_id', :identity, true), pg_sleep(5)")


async def test_fault16_cancelled_statement_leaves_nothing_behind(pool: Database) -> None:
    alice, bob = owner(), owner()
    task = await TaskRepository(pool, alice).create(NEW)
    running_task = asyncio.create_task(pool.run(alice, SLEEP_AS_OWNER, {}))
    while pool.connections_in_use == 0:  # noqa: ASYNC110 - it is behind a socket
        await asyncio.sleep(0.01)
    running_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running_task
    assert await identity_on(pool) in (None, "")
    assert (await TaskRepository(pool, bob).list_page(TaskQuery(), limit=10)).tasks == []
    assert await TaskRepository(pool, alice).get(task.id) == task


async def test_cancelled_statement_closes_its_connection(pool: Database) -> None:
    first = await backend_of(pool)
    running_task = asyncio.create_task(pool.execute(SLEEP, {}))
    while pool.connections_in_use == 0:  # noqa: ASYNC110 - it is behind a socket
        await asyncio.sleep(0.01)
    running_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running_task
    assert pool.connections_in_use == 0
    assert await backend_of(pool) != first


async def test_statement_over_its_time_limit_closes_its_connection(
    database: DatabaseUrls,
) -> None:
    pool = Database(parse_database_url(database.app), pool_size=1, budget=0.2)
    first = await backend_of(pool)
    with pytest.raises(DatabaseUnavailableError, match="TimeoutError"):
        await pool.execute(SLEEP, {})
    second = await backend_of(pool)
    with pytest.raises(DatabaseUnavailableError, match="TimeoutError"):
        await pool.run(owner(), SLEEP_AS_OWNER, {})
    third = await backend_of(pool)
    await pool.close()
    assert len({first, second, third}) == 3


FAIL_AS_OWNER = Statement("SELECT set_config('app.user_id', :identity, true), 1 / 0")


async def test_failed_statement_leaves_its_connection_open(pool: Database) -> None:
    first = await backend_of(pool)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await pool.execute(Statement("SELECT 1 / 0"), {})
    with pytest.raises(asyncpg.DivisionByZeroError):
        await pool.run(owner(), FAIL_AS_OWNER, {})
    assert await backend_of(pool) == first
    assert await identity_on(pool) in (None, "")


NUMBERED = [Statement(f"SELECT {number}, CAST(:given AS int)") for number in range(3)]


@needs_pgbouncer
async def test_pooler_without_prepared_statements_keeps_statements_apart(
    database: DatabaseUrls,
) -> None:
    """All statements are unnamed, and the pooler's clients share one connection to the server."""
    with pooled(database.app, connections=1) as through_pooler:
        pool = Database(parse_database_url(through_pooler), prepared_statements=False)

        async def ask(number: int) -> None:
            for turn in range(20):
                given = number * 100 + turn
                statement = NUMBERED[turn % len(NUMBERED)]
                ((number_of_statement, returned),) = await pool.execute(statement, {"given": given})
                assert (number_of_statement, returned) == (turn % 3, given)

        await asyncio.gather(*(ask(number) for number in range(10)))
        await pool.close()
