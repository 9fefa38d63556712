"""Answers that leave in one piece, over a real connection."""

import asyncio

import pytest

from service.http.joined_writes import JoinedWrites


class Recorded(asyncio.Transport):
    """Keeps what is written, and how."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[bytes | str] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def writelines(self, list_of_data: object) -> None:
        assert isinstance(list_of_data, tuple)
        self.calls.append(b"".join(list_of_data))

    def write_eof(self) -> None:
        self.calls.append("eof")

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.closing = True
        self.calls.append("close")

    def abort(self) -> None:
        self.closing = True
        self.calls.append("abort")

    def is_closing(self) -> bool:
        return self.closing


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


async def test_complete_answer_is_written_at_once_behind_what_waits(recorded: Recorded) -> None:
    transport = await joined(recorded)
    transport.write_whole(b"first")
    assert recorded.calls == [b"first"]
    transport.write(b"second")
    transport.write_whole(b"third")
    await asyncio.sleep(0)
    assert recorded.calls == [b"first", b"second", b"third"]
