"""`Overload`: refuse requests with as little work as possible.

In an overload most requests are refused, so a refusal must cost little.

1. The response is a prepared problem document. The log gets at most one line each second.
2. Refused clients are told to return one after the other, `RETURNS_A_SECOND` in each second.
   Otherwise 2,000 clients that obey `Retry-After` would cause 2,000 refusals each second.
3. A client that ignores `Retry-After` would cause the next refusal at once. So what it sends within
   `PUT_OFF_SECONDS` is put off, and its connection is not read for a while. Each request that ends
   lets one such connection be read again, so refusals take a bounded part of the work, however fast
   the machine is. A client that obeys `Retry-After` does not notice this.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final

from starlette.types import Scope

from service.http.answer_headers import request_id_of
from service.http.connections.refusal import Refusal
from service.http.connections.running import ARRIVED
from service.http.cors import Cors
from service.system.metrics import count_request

RETRY_SECONDS: Final = 1
"""A place becomes free within milliseconds, but a shorter time would cause more refusals."""
PUT_OFF_SECONDS: Final = RETRY_SECONDS
"""What a refused client sends sooner than this is put off, for at most as long."""
LONGEST_RETRY_SECONDS: Final = 8
RETURNS_A_SECOND: Final = 200
"""How many refused clients are told to return in the same second. If all of them are refused again,
that takes 2 to 3 % of a core."""
REFUSED_KEPT_SECONDS: Final = 2 * LONGEST_RETRY_SECONDS
"""How long the connection of a refused client is kept: opening another costs the server more."""
_LINE_SECONDS: Final = 1.0

logger: Final = logging.getLogger("service")


class OverloadedError(Exception):
    """A user, or an address whose requests wait for keys, has more than its share."""

    code = "overloaded"
    retry_after = RETRY_SECONDS


DETAIL: Final = "The service is handling too many requests at the moment. Try again shortly."
_REFUSALS: Final = {
    seconds: Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE, OverloadedError.code, DETAIL, retry_after=seconds
    )
    for seconds in range(RETRY_SECONDS, LONGEST_RETRY_SECONDS + 1)
}


class Overload:
    """Answers refused requests. `clock` returns seconds and never jumps."""

    def __init__(self, cors: Cors, clock: Callable[[], float]) -> None:
        self._cors = cors
        self._clock = clock
        self._unread: OrderedDict[Callable[[], object], asyncio.TimerHandle] = OrderedDict()
        self._refused = 0
        self._last_line = float("-inf")
        self._last_return = float("-inf")

    def refusal(
        self, scope: Scope, more_headers: Iterable[tuple[bytes, bytes]], in_flight: int
    ) -> bytes:
        """Return the response to a request that is refused, and count it."""
        self.note(in_flight)
        refusal = _REFUSALS[self._retry_after()]
        arrived = scope.get(ARRIVED)
        waited = 0.0 if arrived is None else time.perf_counter() - arrived
        count_request(scope["method"], "none", refusal.status, waited)
        fields = dict(scope["headers"])
        return refusal.answer(
            request_id_of(fields.get(b"x-request-id")),
            (*more_headers, *self._cors.headers(fields.get(b"origin"))),
            with_body=scope["method"] != "HEAD",
        )

    def read_later(self, read: Callable[[], object]) -> None:
        """Call `read` when it is the turn of its refused connection to be read again."""
        loop = asyncio.get_running_loop()
        self._unread[read] = loop.call_later(PUT_OFF_SECONDS, self._read, read)

    def read_next(self) -> None:
        """Read the refused connection that has waited for the longest time."""
        if self._unread:
            self._read(next(iter(self._unread)))

    def _read(self, read: Callable[[], object]) -> None:
        self._unread.pop(read).cancel()
        read()

    def _retry_after(self) -> int:
        """Return the seconds after which the next refused client is told to return."""
        now = self._clock()
        latest = now + LONGEST_RETRY_SECONDS - RETRY_SECONDS
        self._last_return = min(max(self._last_return, now) + 1 / RETURNS_A_SECOND, latest)
        return RETRY_SECONDS + int(self._last_return - now)

    def note(self, in_flight: int) -> None:
        """Count a refusal, and write the line of all those since the last one."""
        self._refused += 1
        now = self._clock()
        passed = now - self._last_line
        if passed >= _LINE_SECONDS:
            logger.warning(
                "overloaded: refused %d requests since the last such line, with %d in flight;"
                " add replicas, or raise MAX_REQUESTS_IN_FLIGHT if the database is not busy",
                self._refused,
                in_flight,
            )
            self._refused, self._last_line = 0, now
