"""The functions in the database: their text, the roles that may call them, and their locks."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest

from service.database.execution import Database, LockTimeoutError
from service.database.url import parse_database_url
from service.security.owner import Owner
from service.tasks.errors import IdempotencyInFlightError
from service.tasks.functions import FUNCTIONS
from service.tasks.repository import TaskRepository
from service.tasks.schemas import TaskWrite
from service.tasks.stored_function import StoredFunction
from tests.conftest import DatabaseUrls

NAMES = [function.name for function in FUNCTIONS]
NEW = TaskWrite(title="x")
DEFINITION = "SELECT pg_get_functiondef($1::text::regprocedure)"


@pytest.fixture
async def owner(database: DatabaseUrls) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database.owner)
    yield connection
    await connection.close()


@pytest.fixture
async def pool(database: DatabaseUrls) -> AsyncIterator[Database]:
    pool = Database(parse_database_url(database.app), pool_size=2)
    yield pool
    await pool.close()


@pytest.mark.parametrize("function", FUNCTIONS, ids=NAMES)
async def test_function_in_the_database_is_the_one_made_of_the_tables_today(
    owner: "asyncpg.Connection[asyncpg.Record]", function: StoredFunction
) -> None:
    frozen = await owner.fetchval(DEFINITION, function.signature)
    transaction = owner.transaction()
    await transaction.start()
    # This fails if the results have changed.
    await owner.execute(function.definition)
    assert await owner.fetchval(DEFINITION, function.signature) == frozen, (
        "add a migration that executes the new definition"
    )
    await transaction.rollback()


async def test_functions_are_for_app_alone_and_run_with_its_own_rights(
    owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    rows = await owner.fetch(
        """
        SELECT proname, prosecdef, proconfig,
               ARRAY(SELECT grantee::regrole::text FROM aclexplode(proacl)
                     WHERE grantee <> proowner ORDER BY 1) AS others
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        """
    )
    # There may be functions of the same names with the arguments of the previous release.
    assert {row["proname"] for row in rows} == set(NAMES)
    for row in rows:
        assert not row["prosecdef"]
        assert row["proconfig"] == ["search_path=pg_catalog, pg_temp", "lock_timeout=2s"]
        assert row["others"] == ["app"]


@pytest.mark.parametrize("role", ["auth", "purge"])
async def test_other_roles_may_not_call_them(database: DatabaseUrls, role: str) -> None:
    connection = await asyncpg.connect(getattr(database, role))
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="delete_task"):
        await connection.execute(
            "SELECT public.delete_task('alice', gen_random_uuid(), NULL, NULL)"
        )
    await connection.close()


async def test_function_leaves_neither_an_identity_nor_a_lock_timeout(pool: Database) -> None:
    tasks = TaskRepository(pool, Owner(f"alice-{uuid4()}"))
    await tasks.create(NEW)
    connection = await pool._connections.take()
    left = await connection.fetchrow(
        "SELECT current_setting('app.user_id', true) AS identity,"
        " current_setting('lock_timeout') AS waits"
    )
    pool._connections.give_back(connection)
    assert left is not None
    assert (left["identity"] or "", left["waits"]) == ("", "0")


async def test_lock_on_a_task_or_on_a_count_is_not_taken_for_a_key_in_flight(
    pool: Database, database: DatabaseUrls
) -> None:
    name = f"alice-{uuid4()}"
    tasks = TaskRepository(pool, Owner(name))
    task = await tasks.create(NEW)
    other = await asyncpg.connect(database.app)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("SELECT set_config('app.user_id', $1, true)", name)
    await other.execute("UPDATE tasks SET priority = 1")
    await other.execute("UPDATE task_counts SET live = live")
    found = await asyncio.gather(
        tasks.change(task.id, {"title": "y"}),
        tasks.create_once(NEW, "key"),
        return_exceptions=True,
    )
    assert [type(error) for error in found] == [LockTimeoutError, LockTimeoutError]
    await transaction.rollback()
    await other.close()
    assert (await tasks.create_once(NEW, "key"))[1] is True


async def test_twins_at_once_wait_for_each_other_and_one_creates(pool: Database) -> None:
    tasks = TaskRepository(pool, Owner(f"alice-{uuid4()}"), max_tasks=1)
    replies = await asyncio.gather(
        *(tasks.create_once(NEW, "key") for _ in range(8)), return_exceptions=True
    )
    made = [reply for reply in replies if isinstance(reply, tuple)]
    # At the limit too: the others get the task that the first one created.
    assert len(made) == len(replies)
    assert sum(is_new for _, is_new in made) == 1
    assert len({task.id for task, _ in made}) == 1


def test_key_in_flight_has_an_error_of_its_own() -> None:
    assert not issubclass(IdempotencyInFlightError, LockTimeoutError)
