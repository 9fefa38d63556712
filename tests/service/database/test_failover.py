"""A database that moves to another server, and hosts that do not answer."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from scripts.devstack.postgres.embedded import EmbeddedPostgres
from service.database import pool
from service.database.execution import Database, DatabaseUnavailableError
from service.database.listener import Listener, Subscription
from service.database.opening import Opener
from service.database.statements import Statement
from service.database.url import DatabaseUrl, parse_database_url
from service.migrations.runner import upgrade
from service.security.owner import Owner
from service.tasks.repository import TaskRepository
from service.tasks.schemas import TaskWrite
from tests.conftest import DatabaseUrls, PostgresServer
from tests.simulators.postgres_proxy import postgres_proxy

NEW = TaskWrite(title="x")


@dataclass(frozen=True)
class Server:
    """One of two servers with the same database and roles."""

    urls: DatabaseUrls
    superuser_url: str

    @property
    def port(self) -> int:
        return make_url(self.superuser_url).port or 0

    async def alter(self, change: str) -> None:
        """Change a setting of the server, in existing sessions as well."""
        admin = await asyncpg.connect(self.superuser_url)
        await admin.execute(f"ALTER SYSTEM {change}")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.close()

    async def refuse_writes(self) -> None:
        """Live on like an old primary after a failover."""
        await self.alter("SET default_transaction_read_only = on")
        await self._wait("on")

    async def accept_writes(self) -> None:
        """Be a primary."""
        await self.alter("RESET default_transaction_read_only")
        await self._wait("off")

    async def _wait(self, read_only: str) -> None:
        app = await asyncpg.connect(self.urls.app)
        async with asyncio.timeout(10):
            while await app.fetchval("SHOW transaction_read_only") != read_only:
                pass
        await app.close()


@pytest.fixture(scope="module")
def servers(postgres: PostgresServer) -> Iterator[tuple[Server, Server]]:
    """Two servers."""
    name = f"moving_{secrets.token_hex(4)}"

    def make(superuser_url: str) -> Server:
        server = PostgresServer(superuser_url, postgres.passwords)
        urls = asyncio.run(server.make_database(name))
        asyncio.run(upgrade(parse_database_url(urls.owner)))
        return Server(urls, superuser_url)

    with EmbeddedPostgres.ephemeral(in_memory=True) as other:
        yield make(other.url()), make(postgres.superuser_url)


@pytest.fixture
async def old(
    servers: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Server]:
    """The primary, until it refuses writes."""
    monkeypatch.setattr(pool, "_MOVE_SECONDS", 0)
    yield servers[0]
    await servers[0].accept_writes()


@pytest.fixture
def new(servers: tuple[Server, Server]) -> Server:
    """The next primary."""
    return servers[1]


def hosts(app: str, *ports: int, parameters: str = "") -> DatabaseUrl:
    """Return the URL of a database on several ports of this machine."""
    names = ",".join(f"127.0.0.1:{port}" for port in ports)
    role, _, place = app.rpartition("@")
    return parse_database_url(f"{role}@{names}/{place.partition('/')[2]}{parameters}")


async def port_of(database: Database) -> int:
    ((port,),) = await database.execute(Statement("SELECT current_setting('port')::int"), {})
    assert isinstance(port, int)
    return port


async def test_fault76_writes_move_to_the_host_that_accepts_them(old: Server, new: Server) -> None:
    database = Database(hosts(old.urls.app, old.port, new.port), pool_size=3)
    tasks = TaskRepository(database, Owner(f"moving {uuid4()}"))
    await database.check()
    first = await tasks.create(NEW)
    assert await tasks.get(first.id) == first
    await old.refuse_writes()
    # None of the statements fails: the refused one is executed again.
    created = [await tasks.create(NEW) for _ in range(3)]
    assert {await port_of(database) for _ in range(3)} == {new.port}
    assert [await tasks.get(task.id) for task in created] == created
    await database.close()


async def test_fault76_address_that_moves_is_looked_up_again(old: Server, new: Server) -> None:
    async with postgres_proxy("127.0.0.1", old.port) as address:
        database = Database(hosts(old.urls.app, address.port), pool_size=2)
        tasks = TaskRepository(database, Owner(f"moving {uuid4()}"))
        await tasks.create(NEW)
        await old.refuse_writes()
        with pytest.raises(DatabaseUnavailableError, match="25006"):
            await tasks.create(NEW)  # it has not moved yet
        address.target = ("127.0.0.1", new.port)
        await tasks.create(NEW)
        assert await port_of(database) == new.port
        await database.close()


async def test_fault76_readiness_check_leaves_a_read_only_host(old: Server, new: Server) -> None:
    database = Database(hosts(old.urls.app, old.port, new.port), pool_size=2)
    await database.check()
    assert await port_of(database) == old.port
    await old.refuse_writes()
    await database.check()
    assert await port_of(database) == new.port
    await database.close()


async def test_fault76_listening_and_commands_find_the_host_that_accepts_writes(
    old: Server, new: Server
) -> None:
    await old.refuse_writes()
    url = hosts(old.urls.owner, old.port, new.port)
    assert await upgrade(url) == []
    heard = asyncio.Queue[str]()

    def hear(channel: str, payload: str) -> None:
        heard.put_nowait(f"{channel} {payload}")

    database = Database(hosts(new.urls.app, new.port), pool_size=1)
    listener = Listener(url, database, heartbeat_seconds=60)
    listener.subscribe(Subscription(("moved",), hear, resumed=lambda: heard.put_nowait("resumed")))
    task = asyncio.create_task(listener.run())
    async with asyncio.timeout(10):
        assert await heard.get() == "resumed"
        await database.execute(Statement("SELECT pg_notify('moved', 'here')"), {})
        assert await heard.get() == "moved here"
    await database.close()
    task.cancel()


async def test_fault76_reads_are_served_until_a_host_accepts_writes(old: Server) -> None:
    url = hosts(old.urls.app, old.port, parameters="?target_session_attrs=read-write")
    database = Database(url, pool_size=2)
    tasks = TaskRepository(database, Owner(f"moving {uuid4()}"))
    await database.check()
    task = await tasks.create(NEW)
    await old.refuse_writes()
    for _ in range(2):
        with pytest.raises(DatabaseUnavailableError, match="25006"):
            await tasks.create(NEW)
        with pytest.raises(DatabaseUnavailableError, match="no host accepts writes"):
            await database.check()
        assert await tasks.get(task.id) == task
    await old.accept_writes()
    await tasks.create(NEW)
    await database.check()
    await database.close()


async def test_database_without_a_host_for_writes_is_unavailable(old: Server) -> None:
    await old.refuse_writes()
    for parameters, suits in (("?target_session_attrs=read-write", False), ("", True)):
        url = hosts(old.urls.app, old.port, parameters=parameters)
        database = Database(url, pool_size=1)
        if suits:
            assert await port_of(database) == old.port
        else:
            with pytest.raises(DatabaseUnavailableError, match="NoSuitableHostError"):
                await database.check()
        await database.close()


async def test_silent_host_takes_a_share_of_the_time_and_only_once(old: Server) -> None:
    async with postgres_proxy("127.0.0.1", old.port) as silent:
        silent.hang()
        opener = Opener(hosts(old.urls.app, silent.port, old.port), application="test")
        for seconds in (2, 0.5):
            connection = await opener.open(seconds)
            assert await connection.fetchval("SHOW port") == str(old.port)
            connection.terminate()


async def test_name_that_cannot_be_looked_up_for_a_moment_is_looked_up_again(
    old: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    opener = Opener(hosts(old.urls.app, old.port), application="test")
    failures = 2
    connect = asyncpg.connect

    async def fail_twice(*args: object, **named: object) -> object:
        nonlocal failures
        if failures:
            failures -= 1
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return await connect(*args, **named)  # type: ignore[call-overload] # passed on

    monkeypatch.setattr("service.database.opening._PAUSES", (0, 0))
    monkeypatch.setattr(asyncpg, "connect", fail_twice)
    (await opener.open(5)).terminate()
    # A database that has been gone for longer costs one attempt.
    failures = 5
    with pytest.raises(socket.gaierror):
        await opener.open(5)
    assert failures == 2
    with pytest.raises(socket.gaierror):
        await opener.open(5)
    assert failures == 1
    monkeypatch.undo()


async def test_connection_is_probed_by_the_operating_system(old: Server) -> None:
    connection = await Opener(hosts(old.urls.app, old.port), application="test").open(5)
    tcp = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined] # asyncpg has no other way
    assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10
    connection.terminate()
