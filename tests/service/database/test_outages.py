"""Requests while the database is away, hangs, wakes slowly or has no free connection."""

import asyncio
from uuid import uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy.engine import make_url

from scripts.proofs.in_process import running
from service.app import create_app
from service.database.execution import Database, DatabaseUnavailableError
from service.database.statements import Statement
from service.database.url import parse_database_url
from service.tasks.query import TaskQuery
from service.tasks.repository import TaskRepository
from tests.conftest import DatabaseUrls, PostgresServer
from tests.service.conftest import Person, settings_for
from tests.service.database.owners import NEW, owner
from tests.simulators.postgres_proxy import PostgresProxy


async def test_fault49_connections_that_the_server_ended_fail_no_request(
    postgres: PostgresServer, pool: Database
) -> None:
    tasks = TaskRepository(pool, owner())
    task = await tasks.create(NEW)
    admin = await asyncpg.connect(postgres.superuser_url)
    try:
        for _ in range(3):
            await admin.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE application_name = 'better-auth-resource-server' AND usename = 'app'"
            )
            # The end of a connection arrives with a turn of the event loop, not with the answer
            # on another connection.
            idle = [connection for connection, _ in pool._connections._idle]
            async with asyncio.timeout(5):
                while not all(one.is_closed() for one in idle):  # noqa: ASYNC110 - no event for it
                    await asyncio.sleep(0)
            assert await tasks.get(task.id) == task
    finally:
        await admin.close()


async def test_fault52_exhausted_pool_is_unavailable_within_a_second(pool: Database) -> None:
    alice = owner()
    taken = await pool._connections.take()
    with pytest.raises(DatabaseUnavailableError):
        async with asyncio.timeout(3):
            await TaskRepository(pool, alice).list_page(TaskQuery(), limit=1)
    pool._connections.give_back(taken)
    assert (await TaskRepository(pool, alice).list_page(TaskQuery(), limit=1)).tasks == []


async def test_connections_go_to_the_statements_that_waited_longest(database: DatabaseUrls) -> None:
    pool = Database(parse_database_url(database.app), pool_size=10)
    served = [0] * 200

    async def ask_again_and_again(number: int) -> None:
        while sum(served) < 10 * len(served):
            await pool.execute(Statement("SELECT 1"), {})
            served[number] += 1

    await asyncio.gather(*map(ask_again_and_again, range(len(served))))
    await pool.close()
    assert max(served) - min(served) <= 2


async def test_fault47_fault48_service_without_its_database_is_alive_answers_503_and_recovers(
    database: DatabaseUrls, proxy: PostgresProxy, settings: object, headers_of: Person
) -> None:
    jwks_url = getattr(settings, "jwks_url", None)
    url = make_url(database.app).set(host="127.0.0.1", port=proxy.port)
    text = url.render_as_string(hide_password=False)
    await proxy.refuse()
    async with running(create_app(settings_for(text, jwks_url=jwks_url))) as client:
        user = headers_of("alice")
        answer = await client.get("/api/tasks", headers=user)
        assert answer.status_code == 503
        # The revocations are unknown too, which is checked first.
        assert answer.json()["code"] == "revocations_unavailable"
        assert int(answer.headers["Retry-After"]) >= 1
        assert (await client.get("/livez")).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["database"]) == (503, "unavailable")
        await proxy.accept()
        async with asyncio.timeout(10):
            while (await client.get("/readyz")).status_code != 200:
                pass
        assert (await client.get("/api/tasks", headers=user)).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
        # And again, while the service runs.
        await proxy.refuse()
        answer = await client.get("/api/tasks", headers=user)
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")


async def test_fault51_hanging_database_delays_a_request_by_its_time_limit_at_most(
    database: DatabaseUrls, proxy: PostgresProxy, settings: object, headers_of: Person
) -> None:
    url = make_url(database.app).set(host="127.0.0.1", port=proxy.port)
    text = url.render_as_string(hide_password=False)
    jwks_url = getattr(settings, "jwks_url", None)
    app = create_app(settings_for(text, jwks_url=jwks_url, request_seconds=0.5))
    async with running(app) as client:
        user = headers_of(f"alice-{uuid4()}")
        made = await client.post("/api/tasks", headers=user, json={"title": "Kept"})
        path = made.headers["Location"]
        proxy.hang()
        # In the first turn a connection hangs, in the second the server.
        for _ in range(2):
            for method, body in (("GET", None), ("PATCH", {"title": "x"}), ("DELETE", None)):
                async with asyncio.timeout(4):
                    answer = await client.request(method, path, headers=user, json=body)
                assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
                assert int(answer.headers["Retry-After"]) >= 1
            async with asyncio.timeout(4):
                assert (await client.get("/livez")).status_code == 200
                assert (await client.get("/readyz")).status_code == 503
        proxy.flow()
        assert (await client.get(path, headers=user)).json()["title"] in ("Kept", "x")


async def test_fault56_first_request_waits_for_a_database_that_wakes_slowly(
    database: DatabaseUrls, proxy: PostgresProxy, settings: object, alice: httpx.Headers
) -> None:
    """A cold start is bounded by REQUEST_SECONDS; in Neon's case it takes 5 s."""
    url = make_url(database.app).set(host="127.0.0.1", port=proxy.port)
    jwks_url = getattr(settings, "jwks_url", None)
    changes = {"jwks_url": jwks_url, "request_seconds": 10}
    app = create_app(settings_for(url.render_as_string(hide_password=False), **changes))
    async with running(app) as client:
        await proxy.refuse()  # asleep: every connection is gone
        proxy.hang()
        await proxy.accept()
        request = asyncio.ensure_future(client.get("/api/tasks", headers=alice))
        done, _ = await asyncio.wait({request}, timeout=1)
        assert not done
        proxy.flow()
        assert (await request).status_code == 200


async def test_request_during_a_longer_wake_up_is_503_and_the_next_succeeds(
    database: DatabaseUrls, proxy: PostgresProxy, settings: object, alice: httpx.Headers
) -> None:
    url = make_url(database.app).set(host="127.0.0.1", port=proxy.port)
    changes = {"jwks_url": getattr(settings, "jwks_url", None), "request_seconds": 0.5}
    app = create_app(settings_for(url.render_as_string(hide_password=False), **changes))
    async with running(app) as client:
        await proxy.refuse()
        proxy.hang()
        await proxy.accept()
        refused = await client.get("/api/tasks", headers=alice)
        assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        proxy.flow()
        assert (await client.get("/api/tasks", headers=alice)).status_code == 200


async def test_unexpected_error_of_the_database_is_not_ready_instead_of_an_internal_error(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise asyncpg.InternalServerError("from a pooler")

    monkeypatch.setattr(Database, "check", broken)
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["database"]) == (503, "unavailable")


async def test_bug_in_a_statement_is_an_error_of_ours_and_shows_nothing(
    client: httpx.AsyncClient, alice: httpx.Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("SELECT secret")

    monkeypatch.setattr(TaskRepository, "list_page", broken)
    answer = await client.get("/api/tasks", headers={**alice, "Origin": "http://localhost:3000"})
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert "secret" not in answer.text
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
