"""A user's streams have the changes of the user's tasks, in order, and no others."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from service.app import create_app
from service.settings.model import Settings
from tests.conftest import DatabaseUrls
from tests.service.conftest import ORIGIN, Person
from tests.service.events.reading import PATH, live, opened
from tests.service.wire import serving


@pytest.fixture(scope="module")
async def port(settings: Settings) -> AsyncIterator[int]:
    async with serving(create_app(settings)) as chosen:
        yield chosen


@pytest.fixture(scope="module")
async def other_port(settings: Settings) -> AsyncIterator[int]:
    """The port of another process of the service."""
    async with serving(create_app(settings)) as chosen:
        yield chosen


@pytest.fixture
async def api(port: int) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        yield client


async def created(api: httpx.AsyncClient, headers: httpx.Headers) -> str:
    made = await api.post("/api/tasks", headers=headers, json={"title": "x"})
    task_id: str = made.json()["id"]
    return task_id


async def test_row65_every_kind_of_change_is_an_event_at_every_process(
    port: int, other_port: int, api: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    async with live(port, alice) as here, live(other_port, alice) as there:
        first = await created(api, alice)
        task = f"/api/tasks/{first}"
        await api.patch(task, headers=alice, json={"title": "y"})
        await api.put(task, headers=alice, json={"title": "z"})
        await api.delete(task, headers=alice)
        await api.post(f"{task}/restore", headers=alice)
        once = {**alice, "Idempotency-Key": "k"}
        other = (await api.post("/api/tasks", headers=once, json={"title": "o"})).json()["id"]
        expected = [(first, version) for version in (1, 2, 3, 4, 5)] + [(other, 1)]
        for stream in (here, there):
            heard = [await stream.next() for _ in expected]
            assert heard == [("task", {"id": i, "version": v}) for i, v in expected]


async def test_row65_request_that_changes_nothing_is_no_event(
    port: int, api: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    once = {**alice, "Idempotency-Key": "k"}
    async with live(port, alice) as stream:
        made = (await api.post("/api/tasks", headers=once, json={"title": "x"})).json()
        assert await stream.next() == ("task", {"id": made["id"], "version": 1})
        task, stale = f"/api/tasks/{made['id']}", {**alice, "If-Match": '"7"'}
        answers = [
            await api.post("/api/tasks", headers=once, json={"title": "x"}),
            await api.post("/api/tasks", headers=once, json={"title": "another"}),
            await api.post(f"{task}/restore", headers=alice),
            await api.patch(task, headers=alice, json={}),
            await api.patch(task, headers=stale, json={"title": "y"}),
            await api.delete(task, headers=stale),
            await api.delete(f"/api/tasks/{'0' * 8}-0000-4000-8000-{'0' * 12}", headers=alice),
        ]
        assert [answer.status_code for answer in answers] == [201, 422, 200, 200, 412, 412, 404]
        following = await created(api, alice)
        assert await stream.next() == ("task", {"id": following, "version": 1})


async def test_row65_other_users_events_are_never_seen_and_none_is_missed(
    port: int, api: httpx.AsyncClient, alice: httpx.Headers, bob: httpx.Headers
) -> None:
    async with live(port, alice) as hers, live(port, bob) as his:
        tasks = {await created(api, user): user for user in (alice, bob) * 3}
        changes = [
            api.patch(f"/api/tasks/{task}", headers=user, json={"priority": number % 4})
            for number in range(8)
            for task, user in tasks.items()
        ]
        await asyncio.gather(*changes)
        for user, stream in ((alice, hers), (bob, his)):
            heard: dict[str, list[int]] = {}
            for _ in range(3 * 9):
                name, data = await stream.next()
                assert name == "task"
                heard.setdefault(data["id"], []).append(data["version"])
            own = {task for task, owner in tasks.items() if owner is user}
            assert heard == {task: list(range(1, 10)) for task in own}
            # Nothing else was sent: the next event is that of the next change.
            following = await created(api, user)
            assert await stream.next() == ("task", {"id": following, "version": 1})


async def test_row66_notification_names_neither_the_owner_nor_the_title(
    database: DatabaseUrls, api: httpx.AsyncClient, headers_of: Person
) -> None:
    heard = asyncio.Queue[str]()
    connection = await asyncpg.connect(database.app)
    await connection.add_listener("task_events", lambda *said: heard.put_nowait(str(said[3])))
    made = await created(api, headers_of("carol-of-row-66"))
    async with asyncio.timeout(10):
        while made not in (payload := await heard.get()):
            pass  # of another test
    tag, task_id, version = payload.split(" ")
    assert (task_id, version) == (made, "1")
    assert len(tag) == 32
    assert set(tag) <= set("0123456789abcdef")
    await connection.close()


async def test_row67_stream_is_neither_stored_nor_collected_and_scripts_may_read_it(
    port: int, alice: httpx.Headers
) -> None:
    async with opened(port, httpx.Headers({**alice, "Origin": ORIGIN})) as stream:
        assert stream.status == 200
        expected = {
            "content-type": "text/event-stream",
            "cache-control": "no-store",
            "x-accel-buffering": "no",
            "access-control-allow-origin": ORIGIN,
            "connection": "close",
            "transfer-encoding": "chunked",
        }
        assert {name: stream.headers.get(name) for name in expected} == expected
        assert {"ratelimit", "x-request-id"} <= set(stream.headers)


async def test_head_has_the_same_headers_and_opens_no_stream(
    port: int, alice: httpx.Headers
) -> None:
    async with opened(port, alice, method="HEAD") as stream:
        assert stream.status == 200
        async with opened(port, alice) as other:
            differing = {"date", "ratelimit", "x-request-id", "transfer-encoding"}
            expected = {n: v for n, v in other.headers.items() if n not in differing}
        assert {n: v for n, v in stream.headers.items() if n not in differing} == expected
        assert await stream.rest() == b""


async def test_row67_token_is_read_from_the_header_only_and_needs_the_scope(
    api: httpx.AsyncClient, alice: httpx.Headers, headers_of: Person
) -> None:
    token = alice["Authorization"].partition(" ")[2]
    in_url = await api.get(PATH, params={"access_token": token})
    without = await api.get(PATH)
    expired = await api.get(PATH, headers=headers_of("alice", exp=1, iat=0))
    writing = await api.get(PATH, headers=headers_of("alice", scope="tasks:write"))
    answers = [in_url, without, expired, writing]
    assert [answer.status_code for answer in answers] == [400, 401, 401, 403]
    assert "WWW-Authenticate" in without.headers
    for answer in answers:
        assert answer.headers["Content-Type"] == "application/problem+json"


async def test_what_is_sent_behind_the_request_is_ignored(
    port: int, api: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    async with live(port, alice) as stream:
        stream.writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" + b"\0garbage" * 1000)
        await stream.writer.drain()
        task = await created(api, alice)
        assert await stream.next() == ("task", {"id": task, "version": 1})


async def test_without_events_the_answer_is_501_and_nobody_is_notified(
    settings: Settings, port: int, alice: httpx.Headers
) -> None:
    async with (
        live(port, alice) as elsewhere,
        serving(create_app(settings.model_copy(update={"task_events": False}))) as silent,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{silent}") as client,
    ):
        answer = await client.get(PATH, headers=alice)
        assert (answer.status_code, answer.json()["code"]) == (501, "events_unsupported")
        await created(client, alice)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as api:
            task = await created(api, alice)
        assert await elsewhere.next() == ("task", {"id": task, "version": 1})
