"""Each operation takes one round trip to the database."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

from sqlalchemy.engine import make_url

from service.database.execution import Database
from service.database.url import parse_database_url
from service.tasks.cursor import Position
from service.tasks.query import TaskQuery
from service.tasks.repository import TaskRepository
from tests.conftest import DatabaseUrls
from tests.service.database.owners import NEW, owner
from tests.simulators.postgres_proxy import PostgresProxy


def through(proxy: PostgresProxy, database: DatabaseUrls) -> Database:
    url = make_url(database.app).set(host="127.0.0.1", port=proxy.port)
    return Database(parse_database_url(url.render_as_string(hide_password=False)), pool_size=1)


async def test_operations_take_as_few_round_trips_as_promised(
    database: DatabaseUrls, proxy: PostgresProxy
) -> None:
    pool = through(proxy, database)
    tasks = TaskRepository(pool, owner())
    task = await tasks.create(NEW)
    operations: dict[str, Callable[[], Awaitable[object]]] = {
        "create": lambda: tasks.create(NEW),
        "get": lambda: tasks.get(task.id),
        "list": lambda: tasks.list_page(TaskQuery(), limit=20),
        "next page": lambda: tasks.list_page(
            TaskQuery(), limit=20, after=Position(task.created_at, task.id)
        ),
        "filtered page": lambda: tasks.list_page(
            TaskQuery(completed=False, priority=0, q="x", sort="-due_at"),
            limit=20,
            after=Position(None, task.id),
        ),
        "create with a key": lambda: tasks.create_once(NEW, str(uuid4())),
        "create with a key again": lambda: tasks.create_once(NEW, "again"),
        "update": lambda: tasks.change(task.id, {"title": "y"}),
        "update of a version": lambda: tasks.change(
            task.id, {"title": "y"}, versions=frozenset(range(9))
        ),
        "empty update": lambda: tasks.change(task.id, {}),
        "delete": lambda: tasks.delete(task.id),
        "restore": lambda: tasks.restore(task.id),
    }
    counted: dict[str, int] = {}
    # The first turn prepares the statements; the second costs as much as every later request.
    for _ in range(2):
        for name, work in operations.items():
            before = proxy.round_trips
            await work()
            counted[name] = proxy.round_trips - before
    await pool.close()
    assert counted == {
        "create": 1,
        "get": 1,
        "list": 1,
        "next page": 1,
        "filtered page": 1,
        "create with a key": 1,
        "create with a key again": 1,
        "update": 1,
        "update of a version": 1,
        "empty update": 1,
        "delete": 1,
        "restore": 1,
    }
