"""A user's stream has the changes of the user's tasks, in order, and no others."""

from collections.abc import AsyncIterator

import httpx
import pytest

from service.app import create_app
from service.settings.model import Settings
from tests.service.events.reading import live
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


async def test_every_kind_of_change_is_an_event_on_every_process(
    port: int, other_port: int, api: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    async with live(port, alice) as here, live(other_port, alice) as there:
        made = (await api.post("/api/tasks", headers=alice, json={"title": "x"})).json()
        task = f"/api/tasks/{made['id']}"
        await api.patch(task, headers=alice, json={"title": "y"})
        await api.put(task, headers=alice, json={"title": "z"})
        await api.delete(task, headers=alice)
        await api.post(f"{task}/restore", headers=alice)
        once = {**alice, "Idempotency-Key": "k"}
        other = (await api.post("/api/tasks", headers=once, json={"title": "o"})).json()
        expected = [(made["id"], version) for version in (1, 2, 3, 4, 5)] + [(other["id"], 1)]
        for stream in (here, there):
            heard = [await stream.next() for _ in expected]
            assert heard == [("task", {"id": i, "version": v}) for i, v in expected]
