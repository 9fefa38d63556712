"""Rate limiting: per client address and account for sign-in, per user for everything else.

Every request is counted in this process. With RATE_LIMIT_STORAGE, requests within the limits are
also counted in a Redis or Valkey that all processes share, with the same limits. If the store does
not answer, this process decides on its own. So no request fails because the store is slow or
unavailable, and each process still enforces the limits.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from better_auth_keys import counted_address
from service.http.answer_headers import RawHeaders
from service.security.breaker import Breaker, StoreError
from service.security.limit import Limit
from service.security.local_counters import Count, LocalCounters

if TYPE_CHECKING:
    from service.security.shared_counters import SharedCounters

Kind = Literal["register", "login", "refresh", "logout", "account", "tasks"]

# A client usually holds a whole /64.
IPV6_PREFIX: Final = 64
_STORES: Final = ("redis://", "rediss://", "valkey://", "valkeys://")


class Allowance(NamedTuple):
    """What is left of a limit. `window` and `reset` are in seconds."""

    limit: int
    window: int
    remaining: int
    reset: int

    def headers(self) -> Mapping[str, str]:
        """Return the fields of draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "ratelimit": f'"default";r={self.remaining};t={self.reset}',
            "ratelimit-policy": f'"default";q={self.limit};w={self.window}',
        }

    def raw_headers(self) -> RawHeaders:
        """Return the same fields in ASGI's form."""
        return (
            (b"ratelimit", b'"default";r=%d;t=%d' % (self.remaining, self.reset)),
            (b"ratelimit-policy", b'"default";q=%d;w=%d' % (self.limit, self.window)),
        )


class RateLimitedError(Exception):
    """The request is over a rate limit."""

    code = "rate_limited"

    def __init__(self, kind: Kind, allowance: Allowance) -> None:
        super().__init__(kind)
        self.kind = kind
        self.allowance = allowance


class _Shared(NamedTuple):
    """The store, and the breaker that decides whether requests use it."""

    counters: "SharedCounters"
    breaker: Breaker


class RateLimits:
    """The rate limits of the service. `storage` is the URL of the shared store, if there is one."""

    def __init__(self, limits: Mapping[Kind, Limit], *, storage: str | None, key: bytes) -> None:
        self._limits = limits
        self._windows = {kind: (limit.amount, limit.seconds) for kind, limit in limits.items()}
        self._local = LocalCounters()
        self._shared = None if storage is None else _shared(storage, key)
        self.not_shared = 0
        """The number of requests that only this process counted: the store did not answer."""

    @property
    def available(self) -> bool:
        """Whether requests are counted as configured: no store is known to be unavailable."""
        return self._shared is None or not self._shared.breaker.open

    async def hit(self, kind: Kind, name: str) -> Allowance:
        """Count one request and return what is left. Raises `RateLimitedError`."""
        amount, window = self._windows[kind]
        count = self._local.hit(kind, name, amount, window)
        if self._shared is not None and count.allowed:
            count = await self._hit_store(self._shared, kind, name, count)
        allowance = Allowance(amount, window, count.remaining, count.reset)
        if not count.allowed:
            raise RateLimitedError(kind, allowance)
        return allowance

    async def hit_address(self, kind: Kind, address: str) -> None:
        """Count one request of a client's normalized address. IPv6 counts by network.

        Raises `RateLimitedError`.
        """
        await self.hit(kind, counted_address(address, IPV6_PREFIX))

    async def close(self) -> None:
        """Close the connections to the store."""
        if self._shared is not None:
            await self._shared.breaker.close()
            await self._shared.counters.close()

    async def _hit_store(self, shared: _Shared, kind: Kind, name: str, local: Count) -> Count:
        """Count in the store a request that this process allows. Return `local` if it cannot."""
        counters, breaker = shared
        if not breaker.closed:
            self.not_shared += 1
            return local
        answers = breaker.answers
        try:
            count = await counters.hit(kind, name, self._limits[kind])
        except StoreError:
            breaker.failed(answers)
            self.not_shared += 1
            return local
        breaker.succeeded()
        if not count.allowed:
            # Only requests that were allowed count, here as in the store.
            self._local.take_back(kind, name)
            return count
        return Count(
            allowed=True, remaining=min(local.remaining, count.remaining), reset=count.reset
        )


def _shared(url: str, key: bytes) -> _Shared:
    counters = _shared_counters(url, key)
    return _Shared(counters, Breaker(counters.probe))


def _shared_counters(url: str, key: bytes) -> "SharedCounters":
    from service.security.shared_counters import SharedCounters  # noqa: PLC0415 - see there

    return SharedCounters(url, key)


def check_storage(url: str) -> None:
    """Raise `ValueError` if `url` is not the URL of a Redis or Valkey server."""
    if not url.startswith(_STORES):
        raise ValueError("must begin with redis://, rediss://, valkey:// or valkeys://")
    _shared_counters(url, b"")
