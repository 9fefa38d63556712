"""Clients that are gone before the response: their requests are cancelled, others are not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import uuid4

import pytest

from service.app import create_app
from service.settings.model import Settings
from service.tasks.query import TaskQuery
from service.tasks.repository import FoundPage, TaskRepository
from tests.service.conftest import Person
from tests.service.wire import reset, serving, status_of


@dataclass
class Held:
    """Lists that wait until they are let go."""

    began: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    made = Held()

    async def wait(_self: TaskRepository, _query: TaskQuery, **_: object) -> FoundPage:
        made.began.set()
        try:
            await made.go_on.wait()
        except asyncio.CancelledError:
            made.cancelled.set()
            raise
        return FoundPage([], None)

    monkeypatch.setattr(TaskRepository, "list_page", wait)
    return made


@pytest.fixture
async def port(settings: Settings) -> AsyncIterator[int]:
    async with serving(create_app(settings)) as chosen:
        yield chosen


def listing(headers_of: Person) -> bytes:
    authorization = headers_of(f"alice-{uuid4()}")["Authorization"]
    return f"GET /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n".encode()


async def test_fault53_request_of_a_client_that_is_gone_is_cancelled(
    port: int, headers_of: Person, held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(listing(headers_of))
    async with asyncio.timeout(10):
        await held.began.wait()
        reset(writer)
        await held.cancelled.wait()
        # The line is written when the request's task has ended.
        while "GET /api/tasks 499" not in caplog.text:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_fault53_client_that_only_ends_its_own_side_gets_its_response(
    port: int, headers_of: Person, held: Held
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(listing(headers_of))
    writer.write_eof()
    async with asyncio.timeout(10):
        await held.began.wait()
        held.go_on.set()
        assert status_of(await reader.read()) == 200
    assert not held.cancelled.is_set()
    writer.close()
