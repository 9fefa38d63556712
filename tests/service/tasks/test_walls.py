"""Each of the two walls holds without the other, and this test fails if one does not."""

import secrets
from collections.abc import AsyncIterator
from types import ModuleType
from uuid import UUID

import asyncpg
import pytest

from service.database.execution import Database
from service.database.identity import as_owner
from service.database.role_check import PROTECTED
from service.database.statements import Statement
from service.database.url import parse_database_url
from service.migrations.runner import upgrade
from service.security.owner import Owner
from service.tasks import repository
from service.tasks.cursor import Position
from service.tasks.errors import StaleVersionError, TaskLimitError
from service.tasks.query import TaskQuery
from service.tasks.schemas import Task, TaskWrite
from tests.conftest import DatabaseUrls, PostgresServer
from tests.service.tasks.filters import without_filter


@pytest.fixture
async def urls(postgres: PostgresServer) -> DatabaseUrls:
    made = await postgres.make_database(f"walls_{secrets.token_hex(4)}")
    await upgrade(parse_database_url(made.owner))
    return made


@pytest.fixture
async def pool(urls: DatabaseUrls) -> AsyncIterator[Database]:
    pool = Database(parse_database_url(urls.app), pool_size=1)
    # Connected first: a new connection would be refused without the policies.
    await pool.check()
    yield pool
    await pool.close()


async def leaks(  # noqa: C901 - a sequence of attempts
    pool: Database, module: ModuleType
) -> list[str]:
    """Let Bob try every operation on Alice's tasks. Return what succeeded."""
    alice, bob = (
        module.TaskRepository(pool, Owner(name), max_tasks=3) for name in ("alice", "bob")
    )
    hers: Task = await alice.create(TaskWrite(title="Private"))
    kept, _ = await alice.create_once(TaskWrite(title="Private too"), "key")
    gone: Task = await alice.create(TaskWrite(title="Deleted"))
    await alice.delete(gone.id)
    his: Task = await bob.create(TaskWrite(title="His own"))
    found = []

    async def seen(what: str, query: TaskQuery, after: Position | None = None) -> None:
        page = await bob.list_page(query, limit=9, after=after)
        titles = {task.title for task in page.tasks}
        if titles - {"His own"}:
            found.append(what)

    await seen("list", TaskQuery())
    await seen("search", TaskQuery(q="private"))
    for sort in ("due_at", "-due_at", "priority", "updated_at"):
        await seen(sort, TaskQuery(sort=sort))
    await seen("further page", TaskQuery(), Position(his.created_at, his.id))
    await seen("further page", TaskQuery(sort="created_at"), Position(hers.created_at, UUID(int=0)))
    for task in (hers, kept):
        for what, work in {
            "get": bob.get(task.id),
            "change": bob.change(task.id, {"title": "Taken"}),
            "change of a version": bob.change(task.id, {"priority": 1}, versions=frozenset({9})),
            "delete": bob.delete(task.id),
        }.items():
            try:
                if await work:
                    found.append(what)
            except StaleVersionError:
                found.append(f"{what}: told apart from absent")
    if await bob.restore(gone.id) is not None:
        found.append("restore")
    again, created = await bob.create_once(TaskWrite(title="Private too"), "key")
    if not created or again.id == kept.id:
        found.append("key")
    if await bob.delete(hers.id, versions=frozenset({hers.version})):
        found.append("delete of a version")
    try:
        await bob.create(TaskWrite(title="His own"))  # his third task: hers must not count
    except TaskLimitError:
        found.append("limit")
    if [task.title for task in (await alice.list_page(TaskQuery(), limit=9)).tasks] != [
        "Private too",
        "Private",
    ]:
        found.append("her tasks are not as they were")
    if (await count_of(pool, "alice"), await count_of(pool, "bob")) != (2, 3):
        found.append("counts")
    await bob.delete_all()
    hers_now = (await alice.list_page(TaskQuery(), limit=9)).tasks
    if (len(hers_now), await count_of(pool, "alice")) != (2, 2):
        found.append("delete of all")
    return found


COUNT = Statement(
    as_owner("SELECT live FROM public.task_counts WHERE owner_id = identity.id LIMIT 1")
)


async def count_of(pool: Database, name: str) -> int:
    ((live,),) = await pool.run(Owner(name), COUNT, {})
    number: int = live
    return number


async def lift_the_policies(urls: DatabaseUrls) -> None:
    owner = await asyncpg.connect(urls.owner)
    for table in PROTECTED:
        await owner.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    await owner.close()


async def test_fault19_both_walls_hold(pool: Database) -> None:
    assert await leaks(pool, repository) == []


async def test_fault19_policies_hold_without_the_filter(pool: Database, urls: DatabaseUrls) -> None:
    assert await leaks(pool, await without_filter(urls.owner)) == []


async def test_fault19_filter_holds_without_the_policies(
    pool: Database, urls: DatabaseUrls
) -> None:
    await lift_the_policies(urls)
    assert await leaks(pool, repository) == []


async def test_fault19_without_both_this_proof_finds_leaks_everywhere(
    pool: Database, urls: DatabaseUrls
) -> None:
    await lift_the_policies(urls)
    found = await leaks(pool, await without_filter(urls.owner))
    for what in ("list", "search", "due_at", "-due_at", "further page", "get", "change", "delete"):
        assert what in found
    for what in ("restore", "counts", "her tasks are not as they were", "delete of all"):
        assert what in found


async def test_fault13_every_table_with_an_owner_has_its_policies(urls: DatabaseUrls) -> None:
    connection = await asyncpg.connect(urls.owner)
    rows = await connection.fetch(
        """
        SELECT c.relname, c.relkind::text AS kind,
               c.relrowsecurity AND c.relforcerowsecurity AS forced,
               (SELECT count(*) FROM pg_policy p
                WHERE p.polrelid = c.oid AND p.polroles = '{0}') AS ours
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
          AND EXISTS (SELECT FROM pg_attribute a
                      WHERE a.attrelid = c.oid AND a.attname = 'owner_id')
        """
    )
    definers = await connection.fetchval(
        "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = 'public' AND p.prosecdef"
    )
    await connection.close()
    assert {row["relname"] for row in rows} == set(PROTECTED)
    for row in rows:
        assert (row["kind"], row["forced"], row["ours"]) == ("r", True, 1), row["relname"]
    assert definers == 0
