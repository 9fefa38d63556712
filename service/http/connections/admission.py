"""`Admission`: how many requests may be in flight, in all and for each client.

A service that starts more requests than it can serve makes all of them slow. Beyond the bound, a
request is refused with 503 and `Retry-After` before anything else is done for it: no token is
verified, no rate limit is counted, and no database connection is waited for.

1. At most `most` requests are in flight.
2. A request is admitted if its address has fewer requests in flight than `SHARE` times the number
   of free places. A single busy address gets two thirds of all places. The more addresses are
   busy, the fewer places each of them gets. A few of them cannot take all places, but hundreds
   can. IPv6 addresses count by network.
3. The same holds for users as soon as their token is verified, because a user can have many
   addresses.
4. Probes have places of their own, so that they are answered in an overload. Beyond these, they
   are counted like other requests, so that they cannot fill all places.
5. Few of the admitted requests run at once (`running.py`), apart from those set aside.
6. A request that has to wait for the issuer's keys is set aside until it ends, and others, whose
   tokens are known, have its place. There are `most` places aside, shared in the same way.
7. What is not admitted is refused (`overload.py`).

`BoundedHttpProtocol` asks for admission when it has received a request, and `Front` ends it. A
request that does not come through that protocol is not counted by address.
"""

import time
from collections.abc import Callable
from typing import Final

from starlette.types import Scope

from better_auth_keys import counted_address
from service.http.connections.overload import Overload, OverloadedError
from service.http.connections.running import SHARE, Client, Running
from service.http.cors import Cors
from service.http.draining import Draining
from service.http.forwarded import TrustedProxies
from service.security.rate_limits import IPV6_PREFIX

PROBES: Final = frozenset({"/livez", "/readyz", "/metrics"})
PLACES_FOR_PROBES: Final = 32
"""Enough for a few load balancers, and too few to keep the service busy."""
_ADMITTED: Final = "admitted"


class _Admitted:
    """An admitted request of a client. Copies of its scope share it."""

    __slots__ = ("as_probe", "client", "is_aside")

    def __init__(self, client: Client) -> None:
        self.client = client
        self.as_probe = False
        self.is_aside = False


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
        self._draining = draining
        self.overload = Overload(cors, clock)
        self._in_flight = 0
        self._aside = 0
        self._probes = 0
        self._clients: dict[str, Client] = {}
        self._users: dict[str, int] = {}

    @property
    def in_flight(self) -> int:
        """The number of admitted requests that have not ended and are not set aside."""
        return self._in_flight

    @property
    def alive(self) -> int:
        """The number of admitted requests that have not ended."""
        return self._in_flight + self._aside

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
        is_one_too_many = client.held >= SHARE * (self._most - self._in_flight)
        if is_one_too_many and not self._may_be_probe(scope):
            return False
        admitted = scope[_ADMITTED] = _Admitted(client)
        if is_one_too_many:
            self._count_as_probe(admitted)
        self._clients[address] = client
        client.held += 1
        self._in_flight += 1
        return True

    def begin(self, scope: Scope) -> bool:
        """Return whether an admitted request may run now. If it may not, let it `wait`."""
        admitted: _Admitted = scope[_ADMITTED]
        if self._running.begin(admitted.client, scope):
            return True
        if not admitted.as_probe:
            if not self._may_be_probe(scope):
                return False
            self._count_as_probe(admitted)
        self._running.begin_without_place(scope)
        return True

    def wait(
        self, scope: Scope, begin: Callable[[], object], give_up: Callable[[], object]
    ) -> bool:
        """Call `begin` when an admitted request may run, or `give_up` if that takes too long.

        Return False if it would take too long. Then, and when it is given up, the request must
        `leave` and be refused.
        """
        return self._running.wait(scope[_ADMITTED].client, scope, begin, give_up)

    def withdraw(self, scope: Scope) -> bool:
        """Take a request out of the line. Return whether it was in it."""
        if not self._running.is_waiting(scope):
            return False
        self.leave(scope)
        return True

    def leave(self, scope: Scope) -> None:
        """Free the place of a request, if it has one."""
        admitted: _Admitted | None = scope.pop(_ADMITTED, None)
        if admitted is None:
            return
        client = admitted.client
        if admitted.as_probe:
            self._probes -= 1
        if admitted.is_aside:
            client.aside -= 1
            self._aside -= 1
        else:
            client.held -= 1
            self._in_flight -= 1
        if not client.held and not client.aside:
            del self._clients[client.address]
        if self._running.end(client, scope):
            self.overload.read_next()

    def set_aside(self, scope: Scope) -> None:
        """Release the places of a request that has to wait. `leave` must follow, as for any other.

        Does nothing if it is set aside already, or does not count by address. Raises
        `OverloadedError` if its address has more than its share of those set aside.
        """
        admitted: _Admitted | None = scope.get(_ADMITTED)
        if admitted is None or admitted.is_aside:
            return
        client = admitted.client
        if client.aside >= SHARE * (self._most - self._aside):
            self.overload.note(self.alive)
            raise OverloadedError
        admitted.is_aside = True
        client.aside += 1
        self._aside += 1
        client.held -= 1
        self._in_flight -= 1
        self._running.release_place(client, scope)

    def _may_be_probe(self, scope: Scope) -> bool:
        """Return whether a request may have one of the places for probes."""
        return scope["path"] in PROBES and self._probes < PLACES_FOR_PROBES

    def _count_as_probe(self, admitted: _Admitted) -> None:
        admitted.as_probe = True
        self._probes += 1

    def admit_user(self, user: str) -> None:
        """Count an admitted request for its user. `leave_user` must follow.

        Raises `OverloadedError` if the user has more than their share.
        """
        held = self._users.get(user, 0)
        # The request itself has one of the places in flight.
        if held and held >= SHARE * (self._most - self._in_flight + 1):
            self.overload.note(self._in_flight)
            raise OverloadedError
        self._users[user] = held + 1

    def leave_user(self, user: str) -> None:
        """Count a user's request no longer."""
        _release(self._users, user)


def _release(counts: dict[str, int], name: str) -> None:
    left = counts[name] - 1
    if left:
        counts[name] = left
    else:
        del counts[name]
