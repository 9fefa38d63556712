"""`EventStream`: one user's stream of events on one connection.

While the client does not read, events wait here, one for each task: only its newest version
matters. A client that leaves more than `MAX_WAITING` unread, or reads nothing for
`UNREAD_SECONDS`, is cut off, so that no stream takes memory without bound.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from better_auth_keys import AccessToken
from service.events.combining import Change
from service.events.format import HEARTBEAT, LIVE, PAUSED, End, end_event, task_event
from service.http.connections.streaming import HandOver, StreamConnection
from service.system.buffered_log import LineLogger

MAX_WAITING: Final = 256
UNREAD_SECONDS: Final = 30.0
HEARTBEAT_SECONDS: Final = 15.0
"""Proxies close connections that are silent for longer, often after 60 s."""

access_log: Final = LineLogger("service.requests")


class EventStream:
    """A stream that `token` allows. `tag` names its owner, and `address` its client's network."""

    __slots__ = (
        "_announce",
        "_closed",
        "_connection",
        "_full_since",
        "_next_heartbeat",
        "_opened_at",
        "_request_id",
        "_sent",
        "_waiting",
        "address",
        "tag",
        "token",
    )

    def __init__(self, token: AccessToken, *, tag: str, address: str, request_id: str) -> None:
        self.token = token
        self.tag = tag
        self.address = address
        self._request_id = request_id
        self._connection: StreamConnection | None = None
        self._closed: Callable[[EventStream, End], None] | None = None
        self._waiting: dict[str, str] = {}
        self._announce: bytes | None = None
        self._full_since: float | None = None
        self._opened_at = time.monotonic()
        self._next_heartbeat = self._opened_at + HEARTBEAT_SECONDS
        self._sent = 0

    def take(self, hand_over: HandOver, closed: Callable[["EventStream", End], None]) -> bool:
        """Take a connection, and return whether there is one. `closed` is called at the end."""
        self._connection = hand_over(self)
        self._closed = closed
        return self._connection is not None

    def announce(self, *, live: bool) -> None:
        """Send `live` or `paused`. The client then fetches its tasks, so what waits is dropped."""
        event = LIVE if live else PAUSED
        if self._must_wait():
            self._waiting.clear()
            self._announce = event
        else:
            self._write(event)

    def send(self, changes: Sequence[Change], events: bytes) -> int:
        """Send the events of changes, or let them wait. Return the number that were sent."""
        if self._must_wait():
            self._waiting.update(changes)
            if len(self._waiting) > MAX_WAITING:
                self.cut(End.TOO_SLOW)
            return 0
        self._write(events)
        self._sent += len(changes)
        return len(changes)

    def look(self, now: float) -> None:
        """Send the heartbeat if it is due, and cut off a client that does not read."""
        if self._must_wait():
            self._full_since = now if self._full_since is None else self._full_since
            if now - self._full_since >= UNREAD_SECONDS:
                self.cut(End.TOO_SLOW)
        elif now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_SECONDS
            self._write(HEARTBEAT)

    def end(self, reason: End) -> None:
        """Send the reason, and close the stream."""
        if self._connection is not None:
            self._connection.close(end_event(reason))
            self._finish(reason)

    def cut(self, reason: End) -> None:
        """Close the stream at once, without what the client has not read."""
        if self._connection is not None:
            self._connection.abort()
            self._finish(reason)

    def left(self) -> None:
        """Forget the connection: the client has left."""
        self._finish(End.CLIENT_LEFT)

    def resume(self) -> None:
        """Send what waits."""
        self._full_since = None
        waiting, self._waiting = self._waiting, {}
        announced, self._announce = self._announce, None
        events = [task_event(*item) for item in waiting.items()]
        self._sent += len(events)
        if announced or events:
            self._write(b"".join([announced or b"", *events]))

    def stop(self) -> None:
        """Close the stream, because the process shuts down."""
        self.end(End.RESTARTING)

    def _must_wait(self) -> bool:
        return self._connection is not None and self._connection.is_full

    def _write(self, part: bytes) -> None:
        if self._connection is not None:
            self._connection.write(part)

    def _finish(self, reason: End) -> None:
        self._connection = None
        self._waiting.clear()
        closed, self._closed = self._closed, None
        if closed is not None:
            seconds = time.monotonic() - self._opened_at
            access_log.info(
                f"stream of events ended: {reason} after {seconds:.1f} s, {self._sent} events"
                f" (request {self._request_id})"
            )
            closed(self, reason)
