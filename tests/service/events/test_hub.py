"""The hub of events: what streams wait for, when they end, and how many there may be."""

import asyncio
import socket
from contextlib import suppress

import httpx
import pytest

from better_auth_keys import AccessToken, RevocationList
from service.events import combining
from service.events.format import LIVE, PAUSED, task_event
from service.events.hub import TaskEvents, TooManyStreamsError
from service.events.stream import HEARTBEAT_SECONDS, MAX_WAITING, UNREAD_SECONDS, EventStream
from service.events.tags import OwnerTags
from service.http.connections.overload import OverloadedError
from service.http.connections.protocol import MAX_WAITING_REQUESTS
from service.http.connections.streaming import StreamOwner
from service.security.audit import SecurityLog
from service.security.owner import Owner
from service.settings.model import Settings
from tests.service.conftest import Person
from tests.service.events.reading import PATH
from tests.service.events.test_ends import served

TOKEN = AccessToken("i", "alice", frozenset(), 0, 0, 9e9, "k", None, {})


class Pipe:
    """A connection that its client reads, until it is `full`."""

    def __init__(self) -> None:
        self.is_full = False
        self.sent: list[bytes] = []
        self.ends: list[str] = []

    def hand_over(self, owner: StreamOwner) -> "Pipe":
        self.owner = owner
        return self

    def write(self, part: bytes) -> None:
        assert not self.is_full
        self.sent.append(part)

    def close(self, part: bytes) -> None:
        self.sent.append(part)
        self.ends.append("closed")

    def abort(self) -> None:
        self.ends.append("aborted")

    def read(self) -> None:
        self.is_full = False
        self.owner.resume()


@pytest.fixture(autouse=True)
def _wait_for_one_turn_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combining, "COMBINE_SECONDS", 0)


async def combined() -> None:
    """Run the event loop until the hub has sent the changes that waited for each other."""
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture
def time() -> list[float]:
    return [1e9]


@pytest.fixture
def events(time: list[float]) -> TaskEvents:
    revocations = RevocationList()
    revocations.replace(kids=())
    hub = TaskEvents(
        OwnerTags(b"k" * 32),
        revocations,
        SecurityLog(b"k" * 32),
        kids=tuple,
        most=90,
        most_per_user=90,
        now=lambda: time[0],
    )
    hub.resume()
    return hub


def opened(events: TaskEvents, *, tag: str = "alice", address: str = "a") -> Pipe:
    pipe = Pipe()
    stream = EventStream(TOKEN, tag=tag, address=address, request_id="r")
    assert events.open(stream, pipe.hand_over)  # type: ignore[arg-type] # it stands in for one
    return pipe


async def test_fault96_events_of_one_task_are_combined_while_the_client_does_not_read(
    events: TaskEvents,
) -> None:
    pipe = opened(events)
    pipe.is_full = True
    for version in range(1, 1000):
        events.hear("", f"alice task-1 {version}")
        events.hear("", f"alice task-2 {version}")
    await combined()
    assert pipe.sent == [LIVE]
    pipe.read()
    assert pipe.sent[1:] == [task_event("task-1", "999") + task_event("task-2", "999")]
    events.hear("", "alice task-1 1000")
    assert pipe.sent[2:] == [task_event("task-1", "1000")]


async def test_fault96_client_with_too_many_unread_tasks_is_cut_off(events: TaskEvents) -> None:
    slow, quick = opened(events), opened(events)
    slow.is_full = True
    for number in range(MAX_WAITING):
        events.hear("", f"alice task-{number} 1")
    await combined()
    assert slow.ends == []
    events.hear("", "alice one-more 1")
    await combined()
    assert slow.ends == ["aborted"]
    assert quick.sent[-1] == task_event("one-more", "1")
    assert events.streams == 1


async def test_fault96_client_that_reads_nothing_for_long_is_cut_off(events: TaskEvents) -> None:
    pipe = opened(events)
    stream = pipe.owner
    assert isinstance(stream, EventStream)
    stream.look(1e9)
    pipe.is_full = True
    stream.look(1e9 + 1)
    stream.look(1e9 + UNREAD_SECONDS)
    pipe.read()
    pipe.is_full = True
    stream.look(1e9 + UNREAD_SECONDS + 1)
    stream.look(1e9 + 2 * UNREAD_SECONDS)
    assert pipe.ends == []
    stream.look(1e9 + 2 * UNREAD_SECONDS + 1)
    assert pipe.ends == ["aborted"]
    assert events.streams == 0


async def test_pause_that_a_client_has_not_read_replaces_what_waited(events: TaskEvents) -> None:
    pipe = opened(events)
    pipe.is_full = True
    events.hear("", "alice task-1 1")
    events.lose()
    events.resume()
    events.hear("", "alice task-2 1")
    await combined()
    pipe.read()
    assert pipe.sent[1:] == [LIVE + task_event("task-2", "1")]
    events.lose()
    assert pipe.sent[2:] == [PAUSED]


async def test_payload_of_another_form_is_ignored(events: TaskEvents) -> None:
    pipe = opened(events)
    forged = "alice x\n\nevent: end\n\n 1"
    for payload in ("", "alice", "alice x", "alice x y", "alice x 1 2", forged, "bob x 1"):
        events.hear("", payload)
    assert pipe.sent == [LIVE]


async def test_row68_stream_ends_when_its_token_expires(
    events: TaskEvents, time: list[float]
) -> None:
    pipe = opened(events)
    time[0] = TOKEN.expires_at - 0.1
    events._look()
    assert pipe.ends == []
    time[0] += 0.1
    events._look()
    assert pipe.ends == ["closed"]
    assert b'"token_expired"' in pipe.sent[-1]


async def test_heartbeat_is_sent_when_it_is_due(events: TaskEvents) -> None:
    pipe = opened(events)
    assert isinstance(pipe.owner, EventStream)
    for seconds in (0.0, 1.0, HEARTBEAT_SECONDS, HEARTBEAT_SECONDS + 1):
        pipe.owner.look(1e9 + seconds)
    assert pipe.sent[1:] == [b":\n\n"] * 2


async def test_one_address_leaves_a_third_of_the_places(events: TaskEvents) -> None:
    for _ in range(60):
        events.require_place("alice", "a")
        opened(events)
    with pytest.raises(OverloadedError):
        events.require_place("alice", "a")
    events.require_place("alice", "b")


async def test_stream_whose_place_was_taken_meanwhile_is_cut_off(events: TaskEvents) -> None:
    for _ in range(90):
        opened(events, tag="bob", address=str(_))
    assert opened(events).ends == ["aborted"]
    with pytest.raises(TooManyStreamsError):
        events.require_place("bob", "another")


def test_tag_depends_on_owner_and_secret() -> None:
    tags = {OwnerTags(secret * 32).of(Owner(name)) for secret in (b"a", b"b") for name in "xy"}
    assert len(tags) == 4


@pytest.mark.parametrize("earlier", [0, MAX_WAITING_REQUESTS])
async def test_fault96_client_on_a_real_connection_that_never_reads_is_cut_off(
    settings: Settings, headers_of: Person, earlier: int
) -> None:
    # Responses to earlier requests on the connection fill its buffers until the stream begins.
    alice = httpx.Headers(headers_of("alice-who-never-reads"))
    async with served(settings) as (port, services):
        events = services.events
        assert events is not None
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.settimeout(0)
            token = alice["Authorization"]
            head = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n"
            client.send(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * earlier + head.encode())
            async with asyncio.timeout(10):
                while not events.streams:
                    await asyncio.sleep(0.005)
                    if earlier:
                        with suppress(BlockingIOError):
                            client.recv(4096)
            tag = events.tags.of(Owner("alice-who-never-reads"))
            sent = 0
            while events.streams:
                sent += 1
                events.hear("", f"{tag} 0199c2f0-5d1c-7c3e-9a52-{sent:012} 1")
                await asyncio.sleep(0)
                # The buffers take some; without limits they would take over 4 MB, or 40,000 events.
                assert sent < 10_000
            assert sent > MAX_WAITING
