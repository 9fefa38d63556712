"""Users cannot reach other users' tasks: over HTTP, and in the database without the repository."""

from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import httpx
import pytest

from service.database.execution import Database
from service.database.url import parse_database_url
from service.migrations.runner import upgrade
from service.security.owner import Owner
from service.tasks.cursor import Position
from service.tasks.query import TaskQuery
from service.tasks.repository import TaskRepository
from service.tasks.schemas import TaskWrite
from tests.conftest import DatabaseUrls, PostgresServer

PATH = "/api/tasks"
METHODS: dict[str, dict[str, object] | None] = {
    "GET": None,
    "PUT": {"title": "Mine now"},
    "PATCH": {"title": "Mine now"},
    "DELETE": None,
}


@pytest.mark.parametrize("method", METHODS)
async def test_fault01_another_users_task_looks_like_none_at_all(
    client: httpx.AsyncClient, alice: httpx.Headers, bob: httpx.Headers, method: str
) -> None:
    made = await client.post(PATH, headers=bob, json={"title": "Bob's"})
    task = made.json()
    body = METHODS[method]
    answers = [
        await client.request(method, f"{PATH}/{task_id}", headers=alice, json=body)
        for task_id in (task["id"], uuid4())
    ]
    his, nobodys = ({**answer.json(), "request_id": None} for answer in answers)
    assert his == nobodys
    assert his["status"] == 404
    header_names = [set(answer.headers) for answer in answers]
    assert header_names[0] == header_names[1]
    found = await client.get(f"{PATH}/{task['id']}", headers=bob)
    assert found.json() == task


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("member", ["owner_id", "user_id", "id", "version"])
async def test_fault02_members_that_are_not_the_clients_to_set_are_refused(
    client: httpx.AsyncClient, alice: httpx.Headers, method: str, member: str
) -> None:
    made = (await client.post(PATH, headers=alice, json={"title": "Hers"})).json()
    path = PATH if method == "POST" else f"{PATH}/{made['id']}"
    answer = await client.request(method, path, headers=alice, json={"title": "x", member: "bob"})
    assert answer.status_code == 422
    assert (await client.get(f"{PATH}/{made['id']}", headers=alice)).json() == made


async def test_fault03_owner_named_elsewhere_is_ignored_or_refused(
    client: httpx.AsyncClient, alice: httpx.Headers, bob: httpx.Headers
) -> None:
    await client.post(PATH, headers=bob, json={"title": "Bob's"})
    named = {**alice, "X-User-Id": "bob", "owner_id": "bob"}
    assert (await client.get(PATH, headers=named)).json()["items"] == []
    for name in ("owner_id", "user_id"):
        answer = await client.get(PATH, headers=named, params={name: "bob"})
        assert answer.status_code == 422


async def test_fault06_list_has_own_tasks_only(
    client: httpx.AsyncClient, alice: httpx.Headers, bob: httpx.Headers
) -> None:
    for user, title in ((alice, "Hers"), (bob, "His"), (alice, "Hers too")):
        await client.post(PATH, headers=user, json={"title": title})
    titles = [task["title"] for task in (await client.get(PATH, headers=alice)).json()["items"]]
    assert titles == ["Hers too", "Hers"]


@pytest.mark.parametrize(
    "pair",
    [("Ann", "ann"), ("caf\u00e9", "cafe\u0301"), ("dan", "dan "), ("eve", "\u0435ve")],
    ids=str,
)
async def test_fault10_subjects_that_look_alike_are_different_owners(
    client: httpx.AsyncClient, headers_of: object, pair: tuple[str, str]
) -> None:
    assert callable(headers_of)
    suffix = uuid4().hex
    one, other = (headers_of(suffix + subject) for subject in pair)
    made = (await client.post(PATH, headers=one, json={"title": "Mine"})).json()
    assert (await client.get(f"{PATH}/{made['id']}", headers=other)).status_code == 404
    assert (await client.get(PATH, headers=other)).json()["items"] == []


@pytest.mark.parametrize("subject", ["", 7, ["a"], "a" * 10_000, "issuer|alice", None])
async def test_fault11_subject_that_is_nobodys_name_is_refused(
    client: httpx.AsyncClient, headers_of: object, subject: object
) -> None:
    assert callable(headers_of)
    assert (await client.get(PATH, headers=headers_of(subject))).status_code == 401


@pytest.fixture
async def as_app(database: DatabaseUrls) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection as role `app`, without the service."""
    connection = await asyncpg.connect(database.app)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def owners(database: DatabaseUrls) -> AsyncIterator[tuple[str, str]]:
    """Two owners with one task each."""
    pool = Database(parse_database_url(database.app), pool_size=1)
    names = f"alice-{uuid4()}", f"bob-{uuid4()}"
    for name in names:
        await TaskRepository(pool, Owner(name)).create(TaskWrite(title="Private"))
    yield names
    await pool.close()


@pytest.mark.parametrize("identity", [None, ""])
async def test_fault14_without_an_identity_there_are_no_rows_and_no_writes(
    as_app: "asyncpg.Connection[asyncpg.Record]", owners: tuple[str, str], identity: str | None
) -> None:
    if identity is not None:
        await as_app.execute("SELECT set_config('app.user_id', $1, false)", identity)
    assert await as_app.fetchval("SELECT count(*) FROM tasks") == 0
    assert await as_app.execute("UPDATE tasks SET title = 'x'") == "UPDATE 0"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
        await as_app.execute("DELETE FROM tasks")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await insert(as_app, owners[0])


async def test_with_an_identity_only_its_rows_are_there_whatever_the_query_says(
    as_app: "asyncpg.Connection[asyncpg.Record]", owners: tuple[str, str]
) -> None:
    alice, bob = owners
    await as_app.execute("SELECT set_config('app.user_id', $1, false)", alice)
    assert [row["owner_id"] for row in await as_app.fetch("SELECT owner_id FROM tasks")] == [alice]
    done = await as_app.execute("UPDATE tasks SET deleted_at = now() WHERE owner_id = $1", bob)
    assert done == "UPDATE 0"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await insert(as_app, bob)


async def test_fault18_a_task_cannot_change_hands(
    as_app: "asyncpg.Connection[asyncpg.Record]", owners: tuple[str, str]
) -> None:
    alice, bob = owners
    await as_app.execute("SELECT set_config('app.user_id', $1, false)", alice)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
        await as_app.execute("UPDATE tasks SET owner_id = $1", bob)


async def test_policies_bind_the_tables_own_owner(
    database: DatabaseUrls, owners: tuple[str, str]
) -> None:
    connection = await asyncpg.connect(database.owner)
    try:
        assert owners[0]
        assert await connection.fetchval("SELECT count(*) FROM tasks") == 0
    finally:
        await connection.close()


async def test_first_wall_stands_alone_when_the_policies_let_everything_through(
    postgres: PostgresServer,
) -> None:
    urls = await postgres.make_database(f"open_{uuid4().hex[:8]}")
    await upgrade(parse_database_url(urls.owner))
    pool = Database(parse_database_url(urls.app), pool_size=1)
    # The connection was made before: a new one would be refused.
    await pool.check()
    opened = await asyncpg.connect(urls.owner)
    await opened.execute("CREATE POLICY open ON tasks USING (true) WITH CHECK (true)")
    await opened.close()
    alice, bob = (TaskRepository(pool, Owner(name)) for name in ("alice", "bob"))
    task = await alice.create(TaskWrite(title="Private"))
    await alice.create(TaskWrite(title="Private too"))
    own = await bob.create(TaskWrite(title="Bob's"))
    assert await bob.get(task.id) is None
    assert (await bob.list_page(TaskQuery(), limit=9)).tasks == [own]
    after = Position(own.created_at, own.id)
    assert (await bob.list_page(TaskQuery(), limit=9, after=after)).tasks == []
    assert await bob.change(task.id, {"title": "Mine now"}) is None
    assert await bob.delete(task.id) is False
    assert await alice.get(task.id) == task
    await pool.close()


async def test_app_has_no_right_on_better_auths_tables(
    database: DatabaseUrls, as_app: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    auth = await asyncpg.connect(database.auth)
    await auth.execute("CREATE TABLE session (token text)")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="schema auth"):
            await as_app.fetch("SELECT * FROM auth.session")
    finally:
        # Other tests with this database check whether the table has its trigger.
        await auth.execute("DROP TABLE session")
        await auth.close()


async def insert(connection: "asyncpg.Connection[asyncpg.Record]", owner: str) -> None:
    await connection.execute(
        "INSERT INTO tasks VALUES"
        " ($1, gen_random_uuid(), 'x', NULL, false, 0, NULL, now(), now(), NULL, 1)",
        owner,
    )
