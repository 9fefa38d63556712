"""Followers: clients that read a stream, fetch the list when it is live, and connect again.

This is what a page in a browser does, without the page: it keeps the newest version of each task.
"""

import asyncio
import functools
import json
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from scripts.proofs.drills.system.clients import TASKS
from scripts.proofs.drills.system.connection import Connection
from scripts.proofs.drills.system.stream import Stream, StreamEvent, open_stream
from scripts.proofs.events.journal import Journal

_PAGE: Final = 100
_PAUSE_SECONDS: Final = 0.2
_REMEMBERED: Final = 4_096


@dataclass(eq=False)
class Follower:
    """Follows one user's tasks on one stream at a time, until `stop` is called.

    When a stream ends, it waits for the time of the retry hint, and uses the next of the `ports`.
    With `once`, it ends with its first stream. Times are the loop's.
    """

    journal: Journal
    token: str
    ports: Sequence[int]
    address: str = "127.0.0.1"
    once: bool = False
    receive_bytes: int | None = None
    stream: Stream | None = None
    heard: dict[str, int] = field(default_factory=dict)
    """The newest version of each task that it heard of or fetched."""
    listed: frozenset[str] = frozenset()
    """The tasks of the list that it has."""
    fetched_at: float = float("-inf")
    """When it began to fetch that list."""
    events: int = 0
    delays: "array[float]" = field(default_factory=lambda: array("d"))
    """From sending the request of a change until the version, or a later one, was heard."""
    live: bool = False
    """Whether the stream says that changes are heard."""
    live_at: list[float] = field(default_factory=list)
    paused_at: list[float] = field(default_factory=list)
    ended_at: list[float] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    """What the last event of each stream says."""
    retries: list[int] = field(default_factory=list)
    """The retry hints, in milliseconds."""
    strange: Counter[str] = field(default_factory=Counter)
    """What no stream may send, and requests that failed."""
    _turn: int = 0
    _stopping: bool = False
    _fetching: "asyncio.Task[None] | None" = None
    _fetch_again: bool = False

    @property
    def port(self) -> int:
        """The port of its current or next stream."""
        return self.ports[self._turn]

    @property
    def ready(self) -> bool:
        """Whether its stream is live, and it has fetched the list since then."""
        return self.live and self.fetched_at >= self.live_at[-1]

    @property
    def ended(self) -> bool:
        """Whether a stream of it has ended."""
        return bool(self.ended_at)

    def missed(self) -> list[str]:
        """Return the tasks whose newest acknowledged version it does not have."""
        return self.journal.missed(self.heard, self.listed, self.fetched_at)

    async def follow(self) -> None:
        """Read streams, one after the other, until `stop` is called."""
        try:
            while not self._stopping:
                pause = await self._read_one()
                self.live = False
                if self.once or self._stopping:
                    return
                self._turn = (self._turn + 1) % len(self.ports)
                await asyncio.sleep(pause)
        finally:
            self.stop()

    def pause(self) -> None:
        """Read nothing more, like a client that hangs."""
        if self.stream is not None:
            self.stream.pause()

    def stop(self) -> None:
        """End the stream."""
        self._stopping = True
        if self.stream is not None:
            self.stream.close()
        if self._fetching is not None:
            self._fetching.cancel()

    async def _read_one(self) -> float:
        """Read a stream until it ends, and return how long to wait before the next one."""
        hints = len(self.retries)
        try:
            self.stream = await open_stream(
                self.port,
                self.token,
                self._on_event,
                address=self.address,
                receive_bytes=self.receive_bytes,
            )
        except (OSError, TimeoutError):
            self.strange["not connected"] += 1
            return _PAUSE_SECONDS
        if self.stream.status != HTTPStatus.OK:
            self.strange[f"status {self.stream.status}"] += 1
            self.stream.close()
            return _PAUSE_SECONDS
        await self.stream.ended
        self.ended_at.append(self.stream.ended_at or asyncio.get_running_loop().time())
        return self.retries[-1] / 1e3 if len(self.retries) > hints else 0.0

    def _on_event(self, event: StreamEvent) -> None:
        if event.retry is not None:
            self.retries.append(event.retry)
        match event.name:
            case "task":
                self._on_change(event.data)
            case "live":
                self.live = True
                self.live_at.append(asyncio.get_running_loop().time())
                self._fetch_soon()
            case "paused":
                self.live = False
                self.paused_at.append(asyncio.get_running_loop().time())
            case "end":
                self.reasons.append(json.loads(event.data)["reason"])
            case "":
                pass  # a retry hint
            case other:
                self.strange[f"event {other}"] += 1

    def _on_change(self, data: str) -> None:
        now = asyncio.get_running_loop().time()
        self.events += 1
        change = _change(data)
        if change is None:
            self.strange[f"event with {data[:80]}"] += 1
            return
        task_id, version = change
        known = self.heard.get(task_id, 0)
        if version <= known:
            return  # it was in the list already
        self.heard[task_id] = version
        for each in range(known + 1, version + 1):
            sent = self.journal.sent.get((task_id, each))
            if sent is not None:
                self.delays.append(now - sent)

    def _fetch_soon(self) -> None:
        self._fetch_again = True
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        """Fetch the list, and once more if a stream asked for it meanwhile."""
        connection = Connection(self.port, address=self.address)
        try:
            while self._fetch_again:
                self._fetch_again = False
                began = asyncio.get_running_loop().time()
                found = await self._pages(connection)
                if found is None:
                    self.strange["list not fetched"] += 1
                    self._fetch_again = True
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                self.listed, self.fetched_at = frozenset(found), began
                for task_id, version in found.items():
                    self.heard[task_id] = max(version, self.heard.get(task_id, 0))
        finally:
            connection.close()

    async def _pages(self, connection: Connection) -> dict[str, int] | None:
        """Return the version of each task in the list, or None if it could not be fetched."""
        found: dict[str, int] = {}
        path = f"{TASKS}?limit={_PAGE}"
        while True:
            answer = await connection.ask("GET", path, token=self.token)
            if answer is None or answer.status != HTTPStatus.OK:
                return None
            page = answer.json()
            found |= {task["id"]: task["version"] for task in page["items"]}
            if page["next_cursor"] is None:
                return found
            path = f"{TASKS}?limit={_PAGE}&cursor={page['next_cursor']}"


@functools.lru_cache(_REMEMBERED)
def _change(data: str) -> tuple[str, int] | None:
    """Return the id and the version, or None if an event has anything more or less."""
    change = json.loads(data)
    return (change["id"], change["version"]) if change.keys() == {"id", "version"} else None
