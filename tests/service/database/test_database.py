"""The database: round trips, roles, identities that end, and failures."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import fields
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy.engine import make_url

from scripts.devstack.postgres import files as postgres_files
from scripts.proofs.in_process import running
from service.app import create_app
from service.database.execution import Database, DatabaseRefusedError, DatabaseUnavailableError
from service.database.statements import Statement
from service.database.url import parse_database_url
from service.migrations.runner import upgrade
from service.security.owner import Owner
from service.tasks.columns import COLUMNS
from service.tasks.cursor import Position
from service.tasks.query import TaskQuery
from service.tasks.repository import TaskRepository
from service.tasks.schemas import Task, TaskWrite
from tests.conftest import DatabaseUrls, PostgresServer
from tests.service.conftest import Person, settings_for
from tests.simulators.pooler import needs_pgbouncer, pooled
from tests.simulators.postgres_proxy import PostgresProxy, postgres_proxy

NEW = TaskWrite(title="x")


@pytest.fixture
async def pool(database: DatabaseUrls) -> AsyncIterator[Database]:
    """A pool of one connection, which all owners in a test share."""
    one = Database(parse_database_url(database.app), pool_size=1)
    yield one
    await one.close()


@pytest.fixture
async def proxy(database: DatabaseUrls) -> AsyncIterator[PostgresProxy]:
    target = make_url(database.app)
    async with postgres_proxy(target.host or "", target.port or 5432) as running_proxy:
        yield running_proxy


def through(proxy: PostgresProxy, database: DatabaseUrls) -> Database:
    url = make_url(database.app).set(host="127.0.0.1", port=proxy.port)
    return Database(parse_database_url(url.render_as_string(hide_password=False)), pool_size=1)


def owner() -> Owner:
    # It contains everything that could end a string or a statement.
    return Owner(f"'; \\ \" -- é {uuid4()}")


def test_columns_and_task_name_the_same_things_in_the_same_order() -> None:
    assert [column.name for column in COLUMNS] == [field.name for field in fields(Task)]


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


async def test_identity_does_not_outlive_its_statement(pool: Database) -> None:
    alice, bob = owner(), owner()
    task = await TaskRepository(pool, alice).create(NEW)
    for _ in range(3):
        assert await TaskRepository(pool, alice).get(task.id) == task
        assert await TaskRepository(pool, bob).get(task.id) is None
        assert await TaskRepository(pool, bob).change(task.id, {"title": "y"}) is None
        assert await TaskRepository(pool, bob).delete(task.id) is False
    assert await identity_on(pool) in (None, "")


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


async def test_statement_that_is_cancelled_takes_its_connection_with_it(pool: Database) -> None:
    first = await backend_of(pool)
    running_task = asyncio.create_task(pool.execute(SLEEP, {}))
    while pool.connections_in_use == 0:  # noqa: ASYNC110 - it is behind a socket
        await asyncio.sleep(0.01)
    running_task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running_task
    assert pool.connections_in_use == 0
    assert await backend_of(pool) != first


async def test_statement_over_its_budget_takes_its_connection_with_it(
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


async def test_statement_that_fails_leaves_its_connection_in_use(pool: Database) -> None:
    first = await backend_of(pool)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await pool.execute(Statement("SELECT 1 / 0"), {})
    with pytest.raises(asyncpg.DivisionByZeroError):
        await pool.run(owner(), FAIL_AS_OWNER, {})
    assert await backend_of(pool) == first
    assert await identity_on(pool) in (None, "")


async def backend_of(pool: Database) -> int:
    """Return the process behind the pool's one connection."""
    ((process,),) = await pool.execute(Statement("SELECT pg_backend_pid()"), {})
    number: int = process
    return number


@needs_pgbouncer
async def test_pooler_without_prepared_statements_never_mixes_statements_up(
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


NUMBERED = [Statement(f"SELECT {number}, CAST(:given AS int)") for number in range(3)]


async def test_many_owners_on_one_connection_never_meet(pool: Database) -> None:
    repositories = [TaskRepository(pool, owner()) for _ in range(10)]
    made = [await tasks.create(TaskWrite(title=str(n))) for n, tasks in enumerate(repositories)]

    async def see(number: int) -> None:
        for _ in range(5):
            page = await repositories[number].list_page(TaskQuery(), limit=9)
            assert page.tasks == [made[number]]

    await asyncio.gather(*(see(number) for number in range(10)))


async def identity_on(pool: Database) -> object:
    """Return the setting on the pool's one connection, outside any unit of work."""
    connection = await pool._connections.take()
    identity: object = await connection.fetchval("SELECT current_setting('app.user_id', true)")
    pool._connections.give_back(connection)
    return identity


ROLES = {
    "superuser": "SUPERUSER",
    "bypassing role": "BYPASSRLS",
    "member of the tables' owner": "IN ROLE owner",
    "role that makes roles": "CREATEROLE",
    "role that replicates": "REPLICATION",
    "reader of the server's files": "IN ROLE pg_read_server_files",
    "member of a bypassing role": "IN ROLE {bypassing}",
}


@pytest.mark.parametrize("options", ROLES.values(), ids=ROLES)
async def test_fault12_role_that_could_bypass_row_level_security_is_refused(
    postgres: PostgresServer, database: DatabaseUrls, options: str
) -> None:
    name, bypassing = f"r_{secrets.token_hex(4)}", f"b_{secrets.token_hex(4)}"
    admin = await asyncpg.connect(postgres.superuser_url)
    url = make_url(database.app).set(username=name, password="pw")
    try:
        await admin.execute(f"CREATE ROLE {bypassing} BYPASSRLS")
        await admin.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD 'pw' {options.format(bypassing=bypassing)}"
        )
        await admin.execute(f'GRANT CONNECT ON DATABASE "{url.database}" TO {name}')
        await refused(url.render_as_string(hide_password=False), "migrate --execute --out FILE")
        await admin.execute(f'REVOKE CONNECT ON DATABASE "{url.database}" FROM {name}')
        await admin.execute(f"DROP ROLE {name}")
        await admin.execute(f"DROP ROLE {bypassing}")
    finally:
        await admin.close()


async def test_fault12_owner_of_the_tables_is_refused(database: DatabaseUrls) -> None:
    await refused(database.owner, "role owner owns the table")


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE tasks DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE tasks NO FORCE ROW LEVEL SECURITY",
        "CREATE POLICY everybody ON tasks USING (true)",
        "CREATE POLICY everybody ON tasks FOR INSERT TO app WITH CHECK (true)",
        "ALTER POLICY tasks_of_their_owner ON tasks USING (owner_id <> '')",
        "DROP POLICY tasks_of_their_owner ON tasks",
        "ALTER TABLE tasks RENAME TO t; CREATE VIEW tasks AS SELECT * FROM t",
    ],
)
async def test_fault13_table_whose_policies_are_not_ours_is_refused(
    postgres: PostgresServer, change: str
) -> None:
    urls = await postgres.make_database(f"changed_{secrets.token_hex(4)}")
    await upgrade(parse_database_url(urls.owner))
    pool = Database(parse_database_url(urls.app), pool_size=1)
    await pool.check()
    as_owner = await asyncpg.connect(urls.owner)
    await as_owner.execute(change)
    await as_owner.close()
    # The existing connection is closed too.
    with pytest.raises(DatabaseRefusedError, match="row-level security of the table tasks"):
        await pool.check()
    with pytest.raises(DatabaseRefusedError):
        await TaskRepository(pool, owner()).list_page(TaskQuery(), limit=1)
    await pool.close()
    await refused(urls.app, "row-level security of the table tasks")


async def test_policies_that_narrow_or_bind_others_are_no_harm(postgres: PostgresServer) -> None:
    urls = await postgres.make_database(f"narrowed_{secrets.token_hex(4)}")
    await upgrade(parse_database_url(urls.owner))
    as_owner = await asyncpg.connect(urls.owner)
    await as_owner.execute("CREATE POLICY narrow ON tasks AS RESTRICTIVE USING (priority < 3)")
    await as_owner.execute("CREATE POLICY theirs ON tasks TO auth USING (true)")
    await as_owner.close()
    pool = Database(parse_database_url(urls.app), pool_size=1)
    await pool.check()
    await pool.close()


async def test_fault13_search_path_of_the_role_does_not_choose_the_table(
    postgres: PostgresServer,
) -> None:
    urls = await postgres.make_database(f"shadow_{secrets.token_hex(4)}")
    await upgrade(parse_database_url(urls.owner))
    admin = await asyncpg.connect(
        make_url(postgres.superuser_url)
        .set(database=make_url(urls.app).database)
        .render_as_string(hide_password=False)
    )
    await admin.execute("CREATE SCHEMA app AUTHORIZATION app")
    await admin.execute("CREATE TABLE app.tasks (LIKE public.tasks)")
    await admin.execute("GRANT ALL ON app.tasks TO app")
    pool = Database(parse_database_url(urls.app), pool_size=1)
    await TaskRepository(pool, owner()).create(NEW)
    assert await admin.fetchval("SELECT count(*) FROM app.tasks") == 0
    await admin.close()
    await pool.close()


async def test_fault13_settings_of_a_role_hide_no_policy_and_make_none_up(
    postgres: PostgresServer,
) -> None:
    name = f"settings_{secrets.token_hex(4)}"
    urls = await postgres.make_database(name)
    await upgrade(parse_database_url(urls.owner))
    admin = await asyncpg.connect(postgres.superuser_url.rpartition("/")[0] + f"/{name}")
    await admin.execute(f"ALTER ROLE app IN DATABASE {name} SET quote_all_identifiers = on")
    pool = Database(parse_database_url(urls.app), pool_size=1)
    await pool.check()
    await pool.close()
    # A function with the name of PostgreSQL's own that makes every user Alice.
    await admin.execute(
        f"""
        CREATE FUNCTION public.current_setting(text, boolean) RETURNS text LANGUAGE sql
        RETURN 'alice';
        ALTER POLICY tasks_of_their_owner ON tasks
        USING (owner_id = (SELECT nullif(public.current_setting('app.user_id', true), '')));
        ALTER ROLE app IN DATABASE {name} SET search_path = public, pg_catalog;
        """
    )
    await admin.close()
    await refused(urls.app, "row-level security of the table tasks")


async def test_database_without_the_tables_is_refused(
    postgres: PostgresServer,
) -> None:
    urls = await postgres.make_database(f"empty_{secrets.token_hex(4)}")
    await refused(urls.app, "migrate --execute")


@pytest.mark.parametrize(
    ("part", "hint"),
    [
        ({"password": "hunter2"}, "password authentication failed"),
        ({"username": "nobody_here"}, "password authentication failed"),
        ({"database": "nowhere"}, "does not exist"),
    ],
    ids=["password", "role", "database"],
)
async def test_database_that_refuses_us_is_said_in_one_line(
    database: DatabaseUrls, part: dict[str, str], hint: str
) -> None:
    url = make_url(database.app).set(**part)  # type: ignore[arg-type] # names of parts of a URL
    await refused(url.render_as_string(hide_password=False), hint)


async def refused(url: str, hint: str) -> None:
    pool = Database(parse_database_url(url), pool_size=1)
    with pytest.raises(DatabaseRefusedError, match=hint) as caught:
        await pool.check()
    assert "pw@" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(DatabaseRefusedError):
        await TaskRepository(pool, owner()).list_page(TaskQuery(), limit=1)
    await pool.close()


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


async def test_connections_go_to_those_who_have_waited_longest(database: DatabaseUrls) -> None:
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


async def test_fault20_dump_and_restore_keep_policies_and_grants(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    names = [f"{name}_{secrets.token_hex(4)}" for name in ("dumped", "restored")]
    urls, restored = [await postgres.make_database(name) for name in names]
    await upgrade(parse_database_url(urls.owner))
    pool = Database(parse_database_url(urls.app), pool_size=1)
    task = await TaskRepository(pool, Owner("alice")).create(NEW)
    await pool.close()
    old, new = (postgres.superuser_url.rpartition("/")[0] + f"/{name}" for name in names)
    for command in (
        ["pg_dump", "--clean", "--if-exists", "--file=dump.sql", old],
        ["psql", "--quiet", "--set=ON_ERROR_STOP=1", "--file=dump.sql", new],
    ):
        program = postgres_files._installed() / "bin" / command[0]
        process = await asyncio.create_subprocess_exec(program, *command[1:], cwd=tmp_path)
        assert await process.wait() == 0
    pool = Database(parse_database_url(restored.app), pool_size=1)
    await pool.check()
    assert await TaskRepository(pool, Owner("alice")).get(task.id) == task
    assert await TaskRepository(pool, Owner("bob")).get(task.id) is None
    await pool.close()
    purge = await asyncpg.connect(restored.purge)
    assert await purge.fetchval("SELECT count(owner_id) FROM tasks") == 0
    await purge.close()


async def test_fault51_database_that_hangs_costs_a_request_its_budget_and_no_more(
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


async def test_fault56_database_that_takes_its_time_to_wake_does_not_fail_the_first_request(
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


async def test_database_that_wakes_after_request_seconds_costs_503_and_then_serves(
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


async def test_unexpected_error_of_the_database_makes_the_service_unready_and_is_no_error_of_ours(
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
