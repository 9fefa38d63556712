"""`Database.run_together`: all statements or none, as one owner, and the connection afterwards."""

import asyncio
from uuid import uuid4

import pytest

from service.database.execution import Database, DatabaseUnavailableError, DriverError
from service.database.statements import Statement, Step
from service.database.url import parse_database_url
from service.security.owner import Owner
from service.tasks.query import TaskQuery
from service.tasks.repository import TaskRepository
from service.tasks.schemas import TaskWrite
from tests.conftest import DatabaseUrls

SEEN: Step = (Statement("SELECT current_setting('app.user_id', true), txid_current()"), {})
BACKEND = Statement("SELECT current_setting('app.user_id', true), pg_backend_pid()")
SLEEP: Step = (Statement("SELECT pg_sleep(5)"), {})
FAIL: Step = (Statement("SELECT 1 / 0"), {})


@pytest.fixture
def alice() -> Owner:
    return Owner(f"'; \\ alice {uuid4()}")


async def titles(pool: Database, owner: Owner) -> list[str]:
    page = await TaskRepository(pool, owner).list_page(TaskQuery(), limit=10)
    return [task.title for task in page.tasks]


async def test_statements_are_one_transaction_with_one_identity(
    pool: Database, alice: Owner
) -> None:
    (one,), (other,) = await pool.run_together(alice, [SEEN, SEEN])
    assert one == other
    assert one[0] == alice.id
    ((identity, _),) = await pool.execute(BACKEND, {})
    assert identity in (None, "")


async def test_fault16_failed_transaction_is_rolled_back_and_leaves_no_identity(
    pool: Database, alice: Owner
) -> None:
    tasks = TaskRepository(pool, alice)
    await tasks.create(TaskWrite(title="Kept"))
    ((_, before),) = await pool.execute(BACKEND, {})
    with pytest.raises(DriverError, match="division by zero"):
        await tasks.delete_all(FAIL)
    assert await titles(pool, alice) == ["Kept"]
    ((identity, after),) = await pool.execute(BACKEND, {})
    assert identity in (None, "")
    assert after != before, "a connection with an open transaction was used again"


async def test_fault16_cancelled_transaction_is_rolled_back_and_leaves_no_identity(
    pool: Database, alice: Owner
) -> None:
    tasks = TaskRepository(pool, alice)
    await tasks.create(TaskWrite(title="Kept"))
    deleting = asyncio.create_task(tasks.delete_all(SLEEP))
    while pool.connections_in_use == 0:  # noqa: ASYNC110 - it is behind a socket
        await asyncio.sleep(0.01)
    deleting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deleting
    assert pool.connections_in_use == 0
    ((identity, _),) = await pool.execute(BACKEND, {})
    assert identity in (None, "")
    assert await titles(pool, alice) == ["Kept"]


async def test_fault16_transaction_over_its_budget_is_rolled_back(
    database: DatabaseUrls, pool: Database, alice: Owner
) -> None:
    await TaskRepository(pool, alice).create(TaskWrite(title="Kept"))
    hasty = Database(parse_database_url(database.app), pool_size=1, budget=0.2)
    with pytest.raises(DatabaseUnavailableError, match="TimeoutError"):
        await TaskRepository(hasty, alice).delete_all(SLEEP)
    await hasty.close()
    assert await titles(pool, alice) == ["Kept"]


async def test_transaction_works_without_prepared_statements(
    database: DatabaseUrls, pool: Database, alice: Owner
) -> None:
    """As behind a transaction pooler that does not support them."""
    url = parse_database_url(database.app)
    unprepared = Database(url, pool_size=1, prepared_statements=False)
    tasks = TaskRepository(unprepared, alice)
    await tasks.create(TaskWrite(title="Gone"))
    (((identity, _),),) = await tasks.delete_all(SEEN)
    await unprepared.close()
    assert identity == alice.id
    assert await titles(pool, alice) == []
