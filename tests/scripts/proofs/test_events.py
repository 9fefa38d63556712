"""The proof of the events notices what it looks for. The proof itself is too slow for the suite."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest

from scripts.proofs.drills.drill import Seen
from scripts.proofs.drills.system.ledger import Row
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.stream import StreamEvent, open_stream
from scripts.proofs.events import __main__ as command
from scripts.proofs.events.crowd import judge
from scripts.proofs.events.follower import Follower
from scripts.proofs.events.journal import Journal

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
TEXTS = (
    b"event: live\ndata: {}\n\n",
    b": a comment\n\n",
    b'event: task\ndata: {"id":"1","version":2}\n\nevent: task\ndata: {"id":"2","ver',
    b'sion":1}\n\n',
    b'event: end\nretry: 1500\ndata: {"reason":"restarting"}\n\n',
)
EVENTS = [
    StreamEvent("live", "{}", None),
    StreamEvent("task", '{"id":"1","version":2}', None),
    StreamEvent("task", '{"id":"2","version":1}', None),
    StreamEvent("end", '{"reason":"restarting"}', 1500),
]


def chunked(texts: Sequence[bytes]) -> bytes:
    """Return a whole body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(text), text) for text in (*texts, b""))


@asynccontextmanager
async def server(*parts: bytes) -> AsyncIterator[int]:
    """Answer each request with these bytes, each in a packet of its own, and keep it open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_stream_decodes_events_however_their_bytes_arrive(size: int) -> None:
    everything = HEAD + chunked(TEXTS)
    parts = [everything[at : at + size] for at in range(0, len(everything), size)]
    heard: list[StreamEvent] = []
    async with server(*parts) as port:
        stream = await open_stream(port, "token", heard.append)
        await asyncio.wait_for(stream.ended, 10)
    assert stream.status == 200
    assert heard == EVENTS


async def test_stream_that_is_refused_has_a_status_and_no_events() -> None:
    heard: list[StreamEvent] = []
    async with server(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\n\r\n{}") as port:
        stream = await open_stream(port, "token", heard.append)
        stream.close()
    assert (stream.status, heard) == (429, [])


class FakeDatabase:
    """The database of a stage, with these tasks of each user."""

    def __init__(self, tasks: dict[str, list[str]]) -> None:
        self._tasks = tasks

    async def tasks_of(self, users: Sequence[str]) -> dict[str, list[Row]]:
        return {
            user: [Row(task, "", "", 1, deleted=False) for task in self._tasks[user]]
            for user in users
        }


class FakeStage:
    """A stage with nothing but a database."""

    def __init__(self, tasks: dict[str, list[str]]) -> None:
        self.database = FakeDatabase(tasks)


HEARD: dict[str, tuple[dict[str, int], float, list[str]]] = {
    "every version": ({"1": 2, "2": 1}, 0, []),
    "a later version": ({"1": 3, "2": 1}, 0, []),
    "an older version": ({"1": 1, "2": 1}, 0, ["1 changes missed"]),
    "nothing": ({}, 0, ["2 changes missed"]),
    "the list after the changes": ({}, 20, []),
    "the list between the changes": ({}, 15, ["1 changes missed"]),
    "a task of another user": (
        {"1": 2, "2": 1, "3": 1},
        0,
        ["1 events of tasks of another user"],
    ),
}


@pytest.mark.parametrize("case", HEARD)
async def test_judge_finds_what_was_missed_and_what_is_of_another(case: str) -> None:
    heard, fetched_at, broken = HEARD[case]
    journal = Journal("ada")
    journal.note("1", 1, 5)
    journal.note("1", 2, 10)
    journal.note("2", 1, 17)
    follower = Follower(journal, "token", [1], heard=heard, fetched_at=fetched_at)
    stage = cast("Stage", FakeStage({"ada": ["1", "2"]}))
    seen = Seen()
    await judge(seen, stage, [follower])
    assert seen.broken == broken
    assert seen.requests == 3


DELETIONS: dict[str, tuple[dict[str, int], set[str], float, list[str]]] = {
    "the deletion": ({"1": 2}, set(), 0, []),
    "a list without the task, fetched before the answer arrived": ({"1": 1}, set(), 10, []),
    "a list with the task": ({"1": 1}, {"1"}, 10, ["1"]),
    "a list from before the task": ({}, set(), 4, ["1"]),
}


@pytest.mark.parametrize("case", DELETIONS)
def test_journal_finds_a_missed_deletion(case: str) -> None:
    heard, listed, fetched_at, missed = DELETIONS[case]
    journal = Journal("ada")
    journal.note("1", 1, 5)
    journal.note("1", 2, 11, is_deleted=True)
    assert journal.missed(heard, listed, fetched_at) == missed


async def test_follower_notices_what_no_stream_may_send() -> None:
    texts = (
        b'event: task\ndata: {"id":"1","version":2,"title":"a secret"}\n\n',
        b"event: surprise\ndata: {}\n\n",
        b'event: end\ndata: {"reason":"token_expired"}\n\n',
    )
    async with server(HEAD + chunked(texts)) as port:
        follower = Follower(Journal("ada"), "token", [port], once=True)
        await asyncio.wait_for(follower.follow(), 10)
    assert len(follower.strange) == 2
    assert follower.heard == {}
    assert follower.reasons == ["token_expired"]


async def test_follower_measures_from_the_request_to_the_event() -> None:
    journal = Journal("ada")
    now = asyncio.get_running_loop().time()
    journal.sent |= {("1", 1): now, ("1", 2): now - 1}
    texts = (b'event: task\ndata: {"id":"1","version":2}\n\n',)
    async with server(HEAD + chunked(texts)) as port:
        follower = Follower(journal, "token", [port], once=True)
        await asyncio.wait_for(follower.follow(), 10)
    # A later version stands for the one before.
    assert [round(delay) for delay in follower.delays] == [0, 1]


def test_unknown_part_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["--only", "two,others"])
    assert caught.value.code == 2
    assert "unknown: others" in capsys.readouterr().err
