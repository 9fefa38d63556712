"""Answers that leave in one piece, over a real connection."""

import asyncio

import pytest

from service.http.connections.joined_writes import JoinedWrites
from tests.service.http.connections.recorded import Recorded


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


async def joined(recorded: Recorded) -> JoinedWrites:
    return JoinedWrites(recorded, asyncio.get_running_loop())


async def test_head_and_body_are_written_together(recorded: Recorded) -> None:
    transport = await joined(recorded)
    transport.write(b"head ")
    assert recorded.calls == []
    transport.write(b"body")
    assert recorded.calls == [b"head body"]
    await asyncio.sleep(0)
    assert recorded.calls == [b"head body"]


async def test_empty_body_sends_the_head(recorded: Recorded) -> None:
    transport = await joined(recorded)
    transport.write(b"head")
    transport.write(b"")
    assert recorded.calls == [b"head"]


async def test_part_without_another_leaves_at_the_next_turn_of_the_loop(recorded: Recorded) -> None:
    transport = await joined(recorded)
    transport.write(b"100 Continue")
    await asyncio.sleep(0)
    assert recorded.calls == [b"100 Continue"]
    transport.write(b"one")
    await asyncio.sleep(0)
    transport.write(b"two")
    await asyncio.sleep(0)
    assert recorded.calls == [b"100 Continue", b"one", b"two"]


@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_what_waits_is_written_before_the_end(recorded: Recorded, end: str) -> None:
    transport = await joined(recorded)
    transport.write(b"last words")
    getattr(transport, end)()
    assert recorded.calls == [b"last words", {"close": "close", "write_eof": "eof"}[end]]


async def test_aborted_connection_is_not_written_to(recorded: Recorded) -> None:
    transport = await joined(recorded)
    transport.write(b"never sent")
    transport.abort()
    await asyncio.sleep(0)
    assert recorded.calls == ["abort"]


async def test_a_whole_response_is_written_at_once_after_what_waits(recorded: Recorded) -> None:
    transport = await joined(recorded)
    transport.write_now(b"whole ")
    transport.write(b"continue ")
    transport.write_now(b"response")
    await asyncio.sleep(0)
    assert recorded.calls == [b"whole ", b"continue response"]
