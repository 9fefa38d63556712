"""`TaskEvents`: the open streams of this process, and what they hear.

1. A notification of a changed task reaches the streams of its owner, found by the owner's tag.
2. All streams are told when notifications stop arriving (`paused`) and when they arrive again
   (`live`), so that clients know when to fetch their tasks themselves.
3. A stream ends when a request with its token would be refused. Expiry, and whether the issuer
   still serves the key, are looked at every `LOOK_SECONDS`, and revocations whenever some were
   added.
4. The number of streams is bounded: for each user, for each address and in all.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

from better_auth_keys import InvalidTokenError, RevocationList, RevocationsUnavailableError
from service.events.combining import Change, Combining
from service.events.format import End, task_event
from service.events.stream import EventStream
from service.events.tags import OwnerTags
from service.http.connections.overload import OverloadedError
from service.http.connections.running import SHARE
from service.http.connections.streaming import HandOver
from service.http.problem_document import ProblemError
from service.security.audit import Event, SecurityLog
from service.system.metrics import EVENT_STREAMS, EVENT_STREAMS_ENDED, EVENTS_SENT

LOOK_SECONDS: Final = 0.5
_PAYLOAD: Final = re.compile(r"\S+ ([0-9a-z-]{1,40}) ([0-9]{1,10})")


class TooManyStreamsError(ProblemError):
    """The user has the maximum number of open streams: 429."""

    retry_after = 10

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too_many_streams",
            "You have too many open event streams. Close one before you open another.",
        )


class TaskEvents:
    """The hub of events. `kids` returns the issuer's keys, or none if they are not available.

    `now` returns Unix seconds.
    """

    def __init__(  # noqa: PLR0913 - its parts, each passed by name
        self,
        tags: OwnerTags,
        revocations: RevocationList,
        security: SecurityLog,
        *,
        kids: Callable[[], Sequence[str]],
        most: int,
        most_per_user: int,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.tags = tags
        self._revocations = revocations
        self._security = security
        self._kids = kids
        self._most = most
        self._most_per_user = most_per_user
        self._now = now
        # Dictionaries keep the order; their values are not used.
        self._streams: dict[str, dict[EventStream, None]] = {}
        self._addresses: dict[str, int] = {}
        self._combining = Combining(self._send)
        self._number = 0
        self._is_live = self._is_ending = False
        self._looking: asyncio.TimerHandle | None = None
        self._checking: asyncio.Handle | None = None

    @property
    def streams(self) -> int:
        """The number of open streams."""
        return self._number

    def require_place(self, tag: str, address: str) -> None:
        """Raise `TooManyStreamsError` or `OverloadedError` unless there is a place for a stream."""
        if len(self._streams.get(tag, ())) >= self._most_per_user:
            raise TooManyStreamsError
        # As in `Admission`: a single address gets two thirds of all places.
        if self._addresses.get(address, 0) >= SHARE * (self._most - self._number):
            raise OverloadedError

    def open(self, stream: EventStream, hand_over: HandOver) -> bool:
        """Open a stream whose response has begun. Return False if there is no connection for it."""
        if not stream.take(hand_over, self._closed):
            return False
        is_full = self._is_without_place(stream)
        self._streams.setdefault(stream.tag, {})[stream] = None
        self._addresses[stream.address] = self._addresses.get(stream.address, 0) + 1
        self._number += 1
        EVENT_STREAMS.inc()
        if is_full:
            stream.cut(End.TOO_MANY)
        elif self._is_ending:
            stream.end(End.RESTARTING)
        elif not self._end_if_refused(stream):
            stream.announce(live=self._is_live)
            self._look_later()
        return True

    def hear(self, _channel: str, payload: str) -> None:
        """Send the event of a notification to the streams of its owner."""
        tag = payload.partition(" ")[0]
        # Other roles of the database can notify as well, and must not write an event's lines.
        if tag in self._streams and (found := _PAYLOAD.fullmatch(payload)):
            task_id, version = found.groups()
            self._combining.add(tag, (task_id, version))

    def resume(self) -> None:
        """Announce that notifications arrive, and that earlier ones may have been missed."""
        self._announce(live=True)

    def lose(self) -> None:
        """Announce that notifications do not arrive."""
        self._announce(live=False)

    def check(self) -> None:
        """End the streams whose tokens were revoked, once for all calls in a turn of the loop."""
        if self._checking is None and self._number:
            self._checking = asyncio.get_running_loop().call_soon(self._check)

    def end_all(self) -> None:
        """End all streams, and those that are opened from now on: the process shuts down."""
        self._is_ending = True
        for stream in self._all():
            stream.end(End.RESTARTING)

    def _send(self, tag: str, changes: Sequence[Change]) -> None:
        events = b"".join([task_event(*change) for change in changes])
        # A list, because a stream that cannot take the events ends.
        streams = [*self._streams.get(tag, ())]
        EVENTS_SENT.inc(sum([stream.send(changes, events) for stream in streams]))

    def _announce(self, *, live: bool) -> None:
        self._is_live = live
        for stream in self._all():
            stream.announce(live=live)

    def _all(self) -> list[EventStream]:
        return [stream for streams in self._streams.values() for stream in streams]

    def _is_without_place(self, stream: EventStream) -> bool:
        # Usually checked just before. The response may have waited for its client, however.
        try:
            self.require_place(stream.tag, stream.address)
        except (TooManyStreamsError, OverloadedError):
            return True
        return False

    def _check(self) -> None:
        self._checking = None
        for stream in self._all():
            self._end_if_refused(stream)

    def _end_if_refused(self, stream: EventStream) -> bool:
        reason = self._why_refused(stream)
        if reason is None:
            return False
        stream.end(reason)
        if reason is End.TOKEN_REVOKED:
            subject = stream.token.subject
            self._security.write(Event.TOKEN_REFUSED, subject=subject, reason="revoked")
        return True

    def _why_refused(self, stream: EventStream) -> End | None:
        token = stream.token
        if token.expires_at <= self._now():
            return End.TOKEN_EXPIRED
        try:
            self._revocations.check_key(token.key_id)
            self._revocations.check_token(token)
        except RevocationsUnavailableError:
            return End.UNDECIDED
        except InvalidTokenError:
            return End.TOKEN_REVOKED
        return None

    def _look_later(self) -> None:
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._looking = None
        now, monotonic, kids = self._now(), time.monotonic(), self._kids()
        for stream in self._all():
            if stream.token.expires_at <= now:
                stream.end(End.TOKEN_EXPIRED)
            elif kids and stream.token.key_id not in kids:
                stream.end(End.TOKEN_REVOKED)
            else:
                stream.look(monotonic)
        if self._number:
            self._look_later()

    def _closed(self, stream: EventStream, reason: End) -> None:
        streams = self._streams[stream.tag]
        del streams[stream]
        if not streams:
            del self._streams[stream.tag]
        left = self._addresses.pop(stream.address) - 1
        if left:
            self._addresses[stream.address] = left
        self._number -= 1
        EVENT_STREAMS.dec()
        EVENT_STREAMS_ENDED.labels(reason.value).inc()
