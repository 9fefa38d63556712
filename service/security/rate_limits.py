"""Rate limiting: per client address and account for sign-in, per user for everything else.

Counters live in this process, or in a Redis or Valkey that all processes share
(RATE_LIMIT_STORAGE). If the store is unavailable, it is tried again after a pause. Until then, task
requests are served without counting and sign-ins are refused, because rate limiting is what stops
password guessing. RATE_LIMIT_FAIL_OPEN changes that.
"""

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from service.http.answer_headers import RawHeaders
from service.http.client_address import counted_as
from service.security.limit import Limit
from service.security.local_counters import Count, LocalCounters

if TYPE_CHECKING:
    from service.security.shared_counters import SharedCounters

logger = logging.getLogger("service")

Kind = Literal["register", "login", "refresh", "logout", "account", "tasks"]

# A client usually holds a whole /64.
IPV6_PREFIX: Final = 64
_PAUSE_SECONDS: Final = 5.0
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


class RateLimitUnavailableError(Exception):
    """The store is unavailable, so this kind is refused. `retry_after` is in seconds."""

    code = "rate_limit_unavailable"
    retry_after = _PAUSE_SECONDS


class RateLimits:
    """The rate limits of the service. `storage` is the URL of the shared store, if there is one."""

    def __init__(
        self,
        limits: Mapping[Kind, Limit],
        *,
        storage: str | None,
        key: bytes,
        fail_open: frozenset[Kind],
    ) -> None:
        self._limits = limits
        self._windows = {kind: (limit.amount, limit.seconds) for kind, limit in limits.items()}
        self._local = LocalCounters()
        self._shared = None if storage is None else _shared_counters(storage, key)
        self._fail_open = fail_open
        self._down_until = float("-inf")
        self._down = False

    @property
    def available(self) -> bool:
        """Whether the store answered when it was last used."""
        return not self._down

    async def hit(self, kind: Kind, name: str) -> Allowance | None:
        """Count one request. Return what is left, or None if it could not be counted.

        Raises `RateLimitedError`, `RateLimitUnavailableError`.
        """
        amount, window = self._windows[kind]
        if self._shared is None:
            count = self._local.hit(kind, name, amount, window)
        else:
            counted = await self._hit_store(self._shared, kind, name)
            if counted is None:
                return None
            count = counted
        allowance = Allowance(amount, window, count.remaining, count.reset)
        if not count.allowed:
            raise RateLimitedError(kind, allowance)
        return allowance

    async def hit_address(self, kind: Kind, address: str) -> None:
        """Count one request of a client's normalized address. IPv6 counts by network.

        Raises `RateLimitedError`, `RateLimitUnavailableError`.
        """
        await self.hit(kind, counted_as(address, IPV6_PREFIX))

    async def close(self) -> None:
        """Close the connections to the store."""
        if self._shared is not None:
            await self._shared.close()

    async def _hit_store(self, store: "SharedCounters", kind: Kind, name: str) -> Count | None:
        """Count in the store. Return None if it is unavailable and this kind is served anyway."""
        from service.security.shared_counters import StoreError  # noqa: PLC0415 - see there

        if time.monotonic() >= self._down_until:
            try:
                count = await store.hit(kind, name, self._limits[kind])
            except StoreError as error:
                if not self._down:
                    logger.warning(
                        "the rate limit store is unavailable (%s); requests of the kinds in"
                        " RATE_LIMIT_FAIL_OPEN are not counted, others are refused;"
                        " check RATE_LIMIT_STORAGE",
                        error,
                    )
                self._down, self._down_until = True, time.monotonic() + _PAUSE_SECONDS
            else:
                if self._down:
                    logger.info("the rate limit store is available again")
                self._down = False
                return count
        if kind not in self._fail_open:
            raise RateLimitUnavailableError
        return None


def _shared_counters(url: str, key: bytes) -> "SharedCounters":
    from service.security.shared_counters import SharedCounters  # noqa: PLC0415 - see there

    return SharedCounters(url, key)


def check_storage(url: str) -> None:
    """Raise `ValueError` if `url` is not the URL of a Redis or Valkey server."""
    if not url.startswith(_STORES):
        raise ValueError("must begin with redis://, rediss://, valkey:// or valkeys://")
    _shared_counters(url, b"")
