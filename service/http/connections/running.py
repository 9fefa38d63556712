"""`Running`: which of the admitted requests run, and the line in which the others wait.

A request that runs has a task, and soon a token and rows in memory. If hundreds of them run at
once, each of them takes more CPU time (docs/decisions/0059). So only `most` run at a time. A
request that waits is its parsed head and the body received so far: nothing has been done for it.

1. The requests of a client wait in the order in which they arrived, and clients take turns. A
   client with hundreds of requests delays its own.
2. A client may hold `SHARE` times as many places as are free, so that some stay free for others.
3. A request that runs for `LEASE_SECONDS` while others wait gives its place up, and runs on. It
   waits for something other than the processor, such as Better Auth or a row's lock.
4. A request whose turn would come too late, as fast as requests end at the moment, does not get
   into the line. One that has waited for `WAIT_SECONDS` is given up. Nothing has been done for
   either, so an overload wastes no work. The line of `most` requests is always open: a service that
   was slow for a moment does not run out of requests.
5. Requests of the line begin in groups, when a third of the places has become free, but at the
   latest `GATHER_SECONDS` after the first of these. Requests that go through the same steps
   together take less CPU time (docs/decisions/0078).

Everything here is called from the event loop's thread. It never looks at each request that waits.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final

from starlette.types import Scope

SHARE: Final = 2
WAIT_SECONDS: Final = 1.0
"""As long as a statement waits for a database connection."""
EXPECTED_SECONDS: Final = 0.75
"""How long a request in the line may be expected to wait."""
LOOK_SECONDS: Final = 0.25
"""How often the line is examined while it is not empty."""
GATHER_SECONDS: Final = 0.004
"""How long a place that has become free is kept for the next group."""
_GROUPS: Final = 3
"""All places make up this many groups. While those of one become free, the others run."""
_LOOKS_IN_A_LEASE: Final = 1
LEASE_SECONDS: Final = LOOK_SECONDS * _LOOKS_IN_A_LEASE
"""At most one look longer. A running request that waits for the processor ends within it."""
FOR_EACH_CONNECTION: Final = 4
"""How many requests run for each database connection: one or two have it, and the others are read,
verified and answered meanwhile. More of them would only wait, as tasks."""
FEWEST: Final = 48
"""Two thirds of it are enough for a client with 32 connections."""
ARRIVED: Final = "arrived"
"""Set in the scope of a request that waited: when it arrived, by `time.perf_counter`."""
_RUNS: Final = "runs"
_WAITS: Final = "waits"


def running_places(pool_size: int) -> int:
    """Return how many requests may run at a time beside a pool of so many connections."""
    return max(FEWEST, FOR_EACH_CONNECTION * pool_size)


class Client:
    """An address, or a network of IPv6, with its requests."""

    __slots__ = ("address", "aside", "held", "line", "places")

    def __init__(self, address: str) -> None:
        self.address = address
        self.held = 0
        """How many requests it has in flight. `Admission` counts them, and those set `aside`."""
        self.aside = 0
        self.places = 0
        """How many places its requests hold. Those that have given theirs up do not count."""
        self.line: deque[_Waiter] = deque()


class _Lease:
    """The places of the requests that began between two looks, until they are given up."""

    __slots__ = ("places",)

    def __init__(self) -> None:
        self.places: dict[Client, int] = {}
        """How many of them each client holds."""

    def take(self, client: Client) -> None:
        """Count one more place of a client."""
        self.places[client] = self.places.get(client, 0) + 1

    def give_back(self, client: Client) -> bool:
        """Count one place less, and return True, unless they are given up."""
        held = self.places.get(client, 0)
        if held > 1:
            self.places[client] = held - 1
        elif held:
            # A service without a line has the same lease for ever.
            del self.places[client]
        return held > 0


class _Place:
    """What a running request holds: a place of a lease, or none."""

    __slots__ = ("lease",)

    def __init__(self, lease: _Lease | None) -> None:
        self.lease = lease


class _Waiter:
    """A request in the line."""

    __slots__ = ("begin", "client", "give_up", "scope", "since")

    def __init__(
        self,
        client: Client,
        scope: Scope,
        since: float,
        begin: Callable[[], object],
        give_up: Callable[[], object],
    ) -> None:
        self.client = client
        self.scope = scope
        self.since = since
        self.begin = begin
        self.give_up = give_up


class Running:
    """Places for `most` requests that run, and the line of those that wait for one."""

    def __init__(self, most: int, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._most = most
        self._group = max(1, most // _GROUPS)
        self._clock = clock
        self._taken = 0
        self._leases = deque([_Lease()])
        self._clients: deque[Client] = deque()
        """The clients with requests in the line. It is the turn of the first."""
        self._timer: asyncio.TimerHandle | None = None
        self._gathering: asyncio.TimerHandle | None = None
        """Set while places are kept for the next group."""
        self._returned = 0
        """How many places have become free for the next group."""
        self._ended = 0
        self._looked = 0.0
        self._per_second = inf
        """How many requests ended in each second between the last two looks."""
        self.running = 0
        """The number of requests that run, including those that have given their place up."""
        self.waiting = 0

    def begin(self, client: Client, scope: Scope) -> bool:
        """Take a place if one is free for this client. `end` must follow, and returns it."""
        free = self._most - self._taken - self._returned
        if client.line or client.places >= SHARE * free:
            return False
        self._take(client, scope)
        return True

    def begin_without_place(self, scope: Scope) -> None:
        """Count a request that runs in any case. `end` must follow."""
        self.running += 1
        scope[_RUNS] = _Place(None)

    def release_place(self, client: Client, scope: Scope) -> None:
        """Return the place of a request that has to wait. It runs on, and `end` must follow."""
        self._return_place(client, scope[_RUNS])

    def wait(
        self,
        client: Client,
        scope: Scope,
        begin: Callable[[], object],
        give_up: Callable[[], object],
    ) -> bool:
        """Put a request in the line, and call `begin` when it has a place, or `give_up`.

        Return False if its turn would come too late. Otherwise `end` must follow, unless `give_up`
        has been called.
        """
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
            self._ended, self._looked, self._per_second = 0, self._clock(), inf
        # Clients take turns: all of them come before the next turn of this one.
        ahead = min((len(client.line) + 1) * len(self._clients), self.waiting)
        if ahead >= self._most and ahead > self._per_second * EXPECTED_SECONDS:
            return False
        scope[ARRIVED] = now = self._clock()
        waiter = scope[_WAITS] = _Waiter(client, scope, now, begin, give_up)
        if not client.line:
            self._clients.append(client)
        client.line.append(waiter)
        self.waiting += 1
        return True

    def is_waiting(self, scope: Scope) -> bool:
        """Return whether a request is in the line."""
        return _WAITS in scope

    def end(self, client: Client, scope: Scope) -> bool:
        """Return the place of a request, or take it out of the line. Return whether it ran."""
        if _RUNS in scope:
            self.running -= 1
            self._ended += 1
            self._return_place(client, scope.pop(_RUNS))
            return True
        if _WAITS in scope:
            client.line.remove(scope[_WAITS])
            self._leave_line(scope[_WAITS])
        return False

    def _take(self, client: Client, scope: Scope) -> None:
        lease = self._leases[-1]
        lease.take(client)
        scope[_RUNS] = _Place(lease)
        self._taken += 1
        client.places += 1
        self.running += 1

    def _return_place(self, client: Client, place: _Place) -> None:
        lease, place.lease = place.lease, None
        if lease is not None and lease.give_back(client):
            client.places -= 1
            self._taken -= 1
            if self._clients:
                self._gather()

    def _gather(self) -> None:
        """Keep a place that has become free for the next group, and begin it if it is complete."""
        self._returned += 1
        if self._returned >= self._group:
            self._fill()
        elif self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = loop.call_later(GATHER_SECONDS, self._fill)

    def _fill(self) -> None:
        """Begin the requests for which there are places."""
        self._stop_gathering()
        passed_over = 0
        while self._taken < self._most and passed_over < len(self._clients):
            client = self._clients[0]
            if client.places >= SHARE * (self._most - self._taken):
                self._clients.rotate(-1)
                passed_over += 1
                continue
            waiter = client.line.popleft()
            self._leave_line(waiter)
            if client.line:
                self._clients.rotate(-1)
            self._take(client, waiter.scope)
            waiter.begin()
            passed_over = 0

    def _leave_line(self, waiter: _Waiter) -> None:
        """Count a request that has been taken out of its client's line."""
        del waiter.scope[_WAITS]
        self.waiting -= 1
        if not waiter.client.line:
            self._clients.remove(waiter.client)
        if not self._clients and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._stop_gathering()

    def _stop_gathering(self) -> None:
        self._returned = 0
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None

    def _look(self) -> None:
        """Measure how fast requests end, give up what has waited too long, and take places back."""
        now = self._clock()
        self._per_second = self._ended / max(now - self._looked, LOOK_SECONDS)
        self._ended, self._looked = 0, now
        self._timer = asyncio.get_running_loop().call_later(LOOK_SECONDS, self._look)
        self._leases.append(_Lease())
        if len(self._leases) > _LOOKS_IN_A_LEASE + 1:
            over = self._leases.popleft().places
            for client, places in over.items():
                client.places -= places
                self._taken -= places
            over.clear()
        latest = now - WAIT_SECONDS
        for client in tuple(self._clients):
            while client.line and client.line[0].since <= latest:
                waiter = client.line.popleft()
                self._leave_line(waiter)
                waiter.give_up()
        self._fill()
