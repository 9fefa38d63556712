"""`Admission`: how many requests may be in flight, in all and for each client.

A service that starts more requests than it can serve makes all of them slow. Beyond the bound, a
request is refused with 503 and `Retry-After` before anything else is done for it: no token is
verified, no rate limit is counted, and no database connection is waited for.

1. At most `most` requests are in flight.
2. A request is admitted if its address has fewer requests in flight than `SHARE` times the number
   of free places. A single busy address gets two thirds of all places. The more addresses are
   busy, the fewer places each of them gets, and some always stay free for others. IPv6 addresses
   count by network.
3. The same holds for users as soon as their token is verified, because a user can have many
   addresses.
4. Probes have places of their own, so that they are answered in an overload. Beyond these, they
   are counted like other requests, so that they cannot fill all places.
5. Few of the admitted requests run at once (`running.py`).
6. A refusal is cheap but not free, and a client that ignores `Retry-After` causes the next one at
   once. So what such a client sends early is put off, and its connection is not read for a while.
   Each request that ends lets one such connection be read again, so refusals take a bounded part of
   the work, however fast the machine is. A client that obeys `Retry-After` does not notice this.
7. Refused clients are told to return one after the other, `RETURNS_A_SECOND` in each second.
   Otherwise 2,000 clients that obey `Retry-After` would cause 2,000 refusals each second.

`BoundedHttpProtocol` asks for admission when it has received a request, and `Front` ends it. A
request that does not come through that protocol is not counted by address.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Final

from starlette.types import Scope

from better_auth_keys import counted_address
from service.http.answer_headers import request_id_of
from service.http.cors import Cors
from service.http.draining import Draining
from service.http.forwarded import TrustedProxies
from service.http.refusal import Refusal
from service.http.running import ARRIVED, SHARE, Client, Running
from service.security.rate_limits import IPV6_PREFIX
from service.system.metrics import count_request

PROBES: Final = frozenset({"/livez", "/readyz", "/metrics"})
PLACES_FOR_PROBES: Final = 32
"""Enough for a few load balancers, and too few to keep the service busy."""
RETRY_SECONDS: Final = 1
"""A place becomes free within milliseconds, but a shorter time would cause more refusals."""
LONGEST_RETRY_SECONDS: Final = 8
RETURNS_A_SECOND: Final = 200
"""How many refused clients are told to return in the same second. If all of them are refused again,
that takes 2 to 3 % of a core."""
REFUSED_KEPT_SECONDS: Final = 2 * LONGEST_RETRY_SECONDS
"""How long the connection of a refused client is kept: opening another costs the server more."""
_LINE_SECONDS: Final = 1.0
_HELD: Final = "admitted_client"
_AS_PROBE: Final = "admitted_as_probe"

logger: Final = logging.getLogger("service")


class OverloadedError(Exception):
    """The user has more than their share of the requests in flight."""

    code = "overloaded"
    retry_after = RETRY_SECONDS


DETAIL: Final = "The service is handling too many requests at the moment. Try again shortly."
_REFUSALS: Final = {
    seconds: Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE, OverloadedError.code, DETAIL, retry_after=seconds
    )
    for seconds in range(RETRY_SECONDS, LONGEST_RETRY_SECONDS + 1)
}


class Admission:
    """Counts the requests in flight. `clock` returns seconds and never jumps."""

    def __init__(  # noqa: PLR0913 - its parts, each passed by name
        self,
        most: int,
        *,
        most_running: int,
        proxies: TrustedProxies,
        cors: Cors,
        draining: Draining,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._running = Running(most_running)
        self._proxies = proxies
        self._cors = cors
        self._draining = draining
        self._clock = clock
        self._in_flight = 0
        self._probes = 0
        self._clients: dict[str, Client] = {}
        self._users: dict[str, int] = {}
        self._unread: OrderedDict[Callable[[], object], asyncio.TimerHandle] = OrderedDict()
        self._refused = 0
        self._last_line = float("-inf")
        self._last_return = float("-inf")

    @property
    def in_flight(self) -> int:
        """The number of admitted requests that have not ended."""
        return self._in_flight

    @property
    def closes(self) -> bool:
        """Whether a refusal closes its connection, because the process is shutting down."""
        return self._draining.begun

    @property
    def running(self) -> int:
        """The number of requests that run."""
        return self._running.running

    @property
    def waiting(self) -> int:
        """The number of admitted requests that wait until they may run."""
        return self._running.waiting

    def admit(self, scope: Scope) -> bool:
        """Admit a request if there is a place for it. `leave` must follow for an admitted one."""
        address = self._proxies.client_of(scope)
        if ":" in address:
            address = counted_address(address, IPV6_PREFIX)
        client = self._clients.get(address)
        if client is None:
            client = Client(address)
        if client.held >= SHARE * (self._most - self._in_flight):
            if not self._is_probe(scope):
                return False
            self._probes += 1
            scope[_AS_PROBE] = True
        self._clients[address] = client
        client.held += 1
        self._in_flight += 1
        scope[_HELD] = client
        return True

    def begin(self, scope: Scope) -> bool:
        """Return whether an admitted request may run now. If it may not, let it `wait`."""
        client: Client = scope[_HELD]
        if self._running.begin(client, scope):
            return True
        if _AS_PROBE not in scope:
            if not self._is_probe(scope):
                return False
            self._probes += 1
            scope[_AS_PROBE] = True
        self._running.begin_without_place(client, scope)
        return True

    def wait(
        self, scope: Scope, begin: Callable[[], object], give_up: Callable[[], object]
    ) -> None:
        """Call `begin` when an admitted request may run, or `give_up` if that takes too long.

        A request that is given up must `leave`, and must be refused.
        """
        self._running.wait(scope[_HELD], scope, begin, give_up)

    def withdraw(self, scope: Scope) -> bool:
        """Take a request out of the line. Return whether it was in it."""
        if not self._running.is_waiting(scope):
            return False
        self.leave(scope)
        return True

    def leave(self, scope: Scope) -> None:
        """Free the place of a request, if it has one."""
        client: Client | None = scope.pop(_HELD, None)
        if client is not None:
            self._in_flight -= 1
            if scope.pop(_AS_PROBE, False):
                self._probes -= 1
            client.held -= 1
            if not client.held:
                del self._clients[client.address]
            self._running.end(client, scope)
            if self._unread:
                self._read(next(iter(self._unread)))

    def _is_probe(self, scope: Scope) -> bool:
        """Return whether a request may have one of the places for probes."""
        return scope["path"] in PROBES and self._probes < PLACES_FOR_PROBES

    def admit_user(self, user: str) -> None:
        """Count an admitted request for its user. `leave_user` must follow.

        Raises `OverloadedError` if the user has more than their share.
        """
        held = self._users.get(user, 0)
        # The request itself has one of the places in flight.
        if held and held >= SHARE * (self._most - self._in_flight + 1):
            self._note()
            raise OverloadedError
        self._users[user] = held + 1

    def leave_user(self, user: str) -> None:
        """Count a user's request no longer."""
        _release(self._users, user)

    def refusal(self, scope: Scope, more_headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the response to a request that was not admitted, and count it.

        A flood of refusals must cost little, so the log gets at most one line each second.
        """
        self._note()
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
        self._unread[read] = loop.call_later(RETRY_SECONDS, self._read, read)

    def _read(self, read: Callable[[], object]) -> None:
        self._unread.pop(read).cancel()
        read()

    def _retry_after(self) -> int:
        """Return the seconds after which the next refused client is told to return."""
        now = self._clock()
        latest = now + LONGEST_RETRY_SECONDS - RETRY_SECONDS
        self._last_return = min(max(self._last_return, now) + 1 / RETURNS_A_SECOND, latest)
        return RETRY_SECONDS + int(self._last_return - now)

    def _note(self) -> None:
        self._refused += 1
        now = self._clock()
        passed = now - self._last_line
        if passed >= _LINE_SECONDS:
            logger.warning(
                "overloaded: refused %d requests since the last such line, with %d in flight;"
                " add replicas, or raise MAX_REQUESTS_IN_FLIGHT if the database is not busy",
                self._refused,
                self._in_flight,
            )
            self._refused, self._last_line = 0, now


def _release(counts: dict[str, int], name: str) -> None:
    left = counts[name] - 1
    if left:
        counts[name] = left
    else:
        del counts[name]
