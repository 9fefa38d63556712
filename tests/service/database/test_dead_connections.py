"""Connections that end or fall silent: found before use, or their statement is executed again."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import suppress

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from service.database import connections
from service.database import pool as pools
from service.database.execution import Database, DatabaseUnavailableError
from service.database.repeating import may_repeat
from service.database.statements import Statement
from service.database.url import parse_database_url
from service.security.owner import Owner
from service.tasks.query import TaskQuery
from service.tasks.repository import TaskRepository
from service.tasks.schemas import TaskWrite
from tests.conftest import DatabaseUrls, PostgresServer
from tests.service.database.owners import NEW, owner
from tests.simulators.postgres_proxy import PostgresProxy

TERMINATE = (
    "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
    " WHERE application_name = 'better-auth-resource-server' AND usename = 'app'"
    " AND datname = $1"
)


def pool_of(database: DatabaseUrls, *, port: int = 0, size: int = 1, budget: float = 5) -> Database:
    url = make_url(database.app)
    there = url.set(port=port or url.port).render_as_string(hide_password=False)
    return Database(parse_database_url(there), pool_size=size, budget=budget)


@pytest.fixture
async def pool(database: DatabaseUrls) -> AsyncIterator[Database]:
    """A pool of three open connections."""
    one = pool_of(database, size=3)
    await one.check()
    yield one
    await one.close()


@pytest.fixture
def terminate(postgres: PostgresServer, database: DatabaseUrls) -> "Terminate":
    return Terminate(postgres, make_url(database.app).database or "")


class Terminate:
    """Ends the sessions of the service's pools in one database."""

    def __init__(self, postgres: PostgresServer, name: str) -> None:
        self._url = postgres.superuser_url
        self._name = name

    async def __call__(self) -> int:
        admin = await asyncpg.connect(self._url)
        try:
            ended = await admin.fetchval(TERMINATE, self._name)
        finally:
            await admin.close()
        assert isinstance(ended, int)
        return ended

    def unnoticed(self) -> int:
        """Do so while the event loop cannot read that the connections have ended."""
        ended = 0

        def work() -> None:
            nonlocal ended
            ended = asyncio.run(self())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return ended


async def test_fault88_write_into_a_session_that_was_ended_is_executed_once(
    pool: Database, terminate: Terminate
) -> None:
    tasks = TaskRepository(pool, owner())
    for number in range(1, 4):
        assert terminate.unnoticed() >= 1
        created = await tasks.create(NEW)
        assert await tasks.get(created.id) == created
        assert len((await tasks.list_page(TaskQuery(), limit=10)).tasks) == number


async def test_fault88_read_in_a_session_that_was_ended_is_executed_again(
    pool: Database, terminate: Terminate
) -> None:
    tasks = TaskRepository(pool, owner())
    created = await tasks.create(NEW)
    assert terminate.unnoticed() >= 1
    assert await tasks.get(created.id) == created


async def test_fault88_write_that_was_running_is_rolled_back_and_executed_once(
    pool: Database, database: DatabaseUrls, terminate: Terminate
) -> None:
    alice = Owner("alice of the locks")
    tasks = TaskRepository(pool, alice)
    created = await tasks.create(NEW)
    locker = await asyncpg.connect(database.app)
    transaction = locker.transaction()
    await transaction.start()
    await locker.execute("SELECT set_config('app.user_id', $1, true)", alice.id)
    await locker.execute("SELECT FROM tasks WHERE id = $1 FOR UPDATE", created.id)
    changing = asyncio.create_task(tasks.change(created.id, {"title": "y"}))
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
    async with asyncio.timeout(5):
        while await locker.fetchval(waits) == 0:
            pass
    # The others in the pool are ended too. It is executed again on a new connection.
    assert await terminate() >= 1
    await transaction.rollback()
    await locker.close()
    changed = await changing
    assert changed is not None
    assert (changed.title, changed.version) == ("y", created.version + 1)


async def test_fault88_acknowledged_writes_are_there_once_while_sessions_are_ended(
    pool: Database, terminate: Terminate
) -> None:
    tasks = TaskRepository(pool, owner())
    titles = [f"{number}" for number in range(120)]
    acknowledged = set()

    async def create(title: str) -> None:
        with suppress(DatabaseUnavailableError):
            acknowledged.add((await tasks.create(TaskWrite(title=title))).title)

    async def end_sessions() -> None:
        while True:
            await terminate()

    ending = asyncio.create_task(end_sessions())
    for start in range(0, len(titles), 6):
        await asyncio.gather(*map(create, titles[start : start + 6]))
    ending.cancel()
    await asyncio.wait([ending])
    page = await tasks.list_page(TaskQuery(), limit=200)
    stored = [task.title for task in page.tasks]
    assert len(stored) == len(set(stored))
    assert acknowledged <= set(stored)
    assert len(acknowledged) > len(titles) / 2


class Lost(asyncpg.ConnectionDoesNotExistError):
    """A connection that ended, with what the server said last."""

    def __init__(self, **said: str) -> None:
        super().__init__("connection was closed in the middle of operation")
        if said:
            fields = {"M": "it ended", "S": said.get("V", ""), **said}
            self.__cause__ = asyncpg.PostgresError.new(fields)


def ended(code: str, severity: str = "FATAL", function: str = "ProcessInterrupts") -> Lost:
    return Lost(C=code, V=severity, R=function)


@pytest.mark.parametrize(
    ("error", "write", "read"),
    [
        (asyncpg.InterfaceError("connection is closed"), True, True),
        (asyncpg.InternalClientError("cannot switch to state 12; ..."), True, True),
        (asyncpg.InternalClientError("unknown error in protocol implementation"), False, False),
        (asyncpg.InterfaceError("another operation is in progress"), False, False),
        (asyncpg.PostgresError.new({"C": "25006", "M": "read-only"}), True, True),
        (ended("57P01"), True, True),
        (ended("57P05"), True, True),
        (ended("57P01", severity="ERROR"), False, True),
        (ended("57P01", function="pooler"), False, True),
        (Lost(C="57P01", V="FATAL"), False, True),
        (ended("57P02", severity="WARNING", function="quickdie"), False, True),
        (ended("08P01"), False, True),
        (Lost(), False, True),
        (asyncpg.PostgresError.new({"C": "57014", "M": "canceled"}), False, False),
        (asyncpg.PostgresError.new({"C": "40001", "M": "serialization"}), True, True),
        (asyncpg.PostgresError.new({"C": "40P01", "M": "deadlock"}), True, True),
        (TimeoutError(), False, False),
        (ConnectionRefusedError(), False, False),
    ],
    ids=str,
)
def test_fault88_statement_is_repeated_only_if_it_cannot_have_been_committed(
    error: Exception,
    write: bool,  # noqa: FBT001 - pytest's own way
    read: bool,  # noqa: FBT001 - pytest's own way
) -> None:
    assert may_repeat(error, reads_only=False) is write
    assert may_repeat(error, reads_only=True) is read


async def test_fault78_silent_connections_are_found_before_they_are_used(
    database: DatabaseUrls, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0)
    monkeypatch.setattr(pools, "_PROBE_SECONDS", 0.1)
    pool = pool_of(database, port=proxy.port, size=3)
    tasks = TaskRepository(pool, owner())
    await pool.check()
    created = await tasks.create(NEW)
    proxy.silence()
    # One probe finds all of them: three would find them one after the other.
    probes = proxy.round_trips
    async with asyncio.timeout(5):
        assert await tasks.create(NEW) != created
    assert pool.connections_in_use == 0
    assert proxy.round_trips - probes <= 4  # the probe, and a new connection's work
    await pool.close()


async def test_fault78_connection_that_falls_silent_in_use_costs_the_budget_once(
    database: DatabaseUrls, proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "_PROBE_SECONDS", 0.1)
    pool = pool_of(database, port=proxy.port, size=3, budget=0.5)
    tasks = TaskRepository(pool, owner())
    await pool.check()
    proxy.silence()
    with pytest.raises(DatabaseUnavailableError, match="TimeoutError"):
        await tasks.create(NEW)
    # The others are doubted, and found to be silent before they are used.
    await tasks.create(NEW)
    await pool.close()


async def test_fault84_slow_openings_delay_no_request_while_others_are_open(
    database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pool_of(database, size=3)
    tasks = TaskRepository(pool, owner())
    await pool.check()
    # Every connection is due for replacement, and the name of the host is not found.
    monkeypatch.setattr(pool._connections, "_max_age_seconds", 0)
    never = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        await never.wait()

    monkeypatch.setattr(asyncpg, "connect", hang)
    async with asyncio.timeout(4):
        await asyncio.gather(*(tasks.create(NEW) for _ in range(30)))
    assert len(pool._connections._opened) == 2
    await pool.close()


async def test_fault84_pool_is_full_before_the_database_counts_as_ready(
    database: DatabaseUrls,
) -> None:
    pool = pool_of(database, size=4)
    await pool.check()
    before = len(pool._connections._opened)
    assert before == 4
    await pool.execute(Statement("SELECT 1"), {})
    await pool.close()
