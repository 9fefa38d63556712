"""Rate limiting: per client address and account for sign-in, per user for everything else.

Counters live in this process, or in a Redis or Valkey that all processes share
(RATE_LIMIT_STORAGE). If the store is unavailable, it is asked again after a moment; until then task
requests are served without counting and sign-ins are refused, because rate limiting is what stops
password guessing. RATE_LIMIT_FAIL_OPEN changes that.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from limits import RateLimitItem, parse

from service.http.client_address import counted_as
from service.security.local_counters import Count, LocalCounters

if TYPE_CHECKING:
    from service.security.shared_counters import SharedCounters

logger = logging.getLogger("service")

Kind = Literal["register", "login", "refresh", "logout", "account", "tasks"]

# A client usually holds a whole /64.
IPV6_PREFIX: Final = 64
_PAUSE_SECONDS: Final = 5.0
_STORES: Final = ("redis://", "rediss://", "valkey://", "valkeys://")


@dataclass(frozen=True, slots=True)
class Allowance:
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

    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """Return the same fields as ASGI has them."""
        return [(name.encode(), value.encode()) for name, value in self.headers().items()]


class RateLimitedError(Exception):
    """Over the limit."""

    code = "rate_limited"

    def __init__(self, kind: Kind, allowance: Allowance) -> None:
        super().__init__(kind)
        self.kind = kind
        self.allowance = allowance


class RateLimitUnavailableError(Exception):
    """The store is down, and this is refused without it. `retry_after` is in seconds."""

    code = "rate_limit_unavailable"
    retry_after = _PAUSE_SECONDS


class RateLimits:
    """The limits of one service. `storage` is the URL of a store, None for this process alone."""

    def __init__(
        self,
        limits: Mapping[Kind, RateLimitItem],
        *,
        storage: str | None,
        key: bytes,
        fail_open: frozenset[Kind],
    ) -> None:
        self._limits = limits
        self._windows = {kind: (item.amount, item.get_expiry()) for kind, item in limits.items()}
        self._local = LocalCounters()
        self._shared = None if storage is None else _shared_counters(storage, key)
        self._fail_open = fail_open
        self._down_until = float("-inf")
        self._down = False

    @property
    def available(self) -> bool:
        """Whether the store answered when it was last asked."""
        return not self._down

    async def hit(self, kind: Kind, name: str) -> Allowance | None:
        """Count one request; return what is left, or None where it could not be counted.

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
        """Count one for a client's normalized address; an IPv6 address counts as its network.

        Raises `RateLimitedError`, `RateLimitUnavailableError`.
        """
        await self.hit(kind, counted_as(address, IPV6_PREFIX))

    async def close(self) -> None:
        """Close the connections to the store."""
        if self._shared is not None:
            await self._shared.close()

    async def _hit_store(self, store: "SharedCounters", kind: Kind, name: str) -> Count | None:
        """Count in the store; None where it is down and this kind is served all the same."""
        from service.security.shared_counters import StoreError  # noqa: PLC0415 - see there

        if time.monotonic() >= self._down_until:
            try:
                count = await store.hit(kind, name, self._limits[kind])
            except StoreError as error:
                if not self._down:
                    logger.warning("the store of rate limits is down (%s)", error)
                self._down, self._down_until = True, time.monotonic() + _PAUSE_SECONDS
            else:
                if self._down:
                    logger.info("the store of rate limits is back")
                self._down = False
                return count
        if kind not in self._fail_open:
            raise RateLimitUnavailableError
        return None


def _shared_counters(url: str, key: bytes) -> "SharedCounters":
    from service.security.shared_counters import SharedCounters  # noqa: PLC0415 - see there

    return SharedCounters(url, key)


def parse_limit(text: str) -> RateLimitItem:
    """Return the limit that a text such as `5/minute` stands for. Raises `ValueError`."""
    try:
        return parse(text)
    except ValueError:
        raise ValueError("must be a number and a unit, such as 5/minute") from None


def check_storage(url: str) -> None:
    """Raise `ValueError` if `url` is not the URL of a store."""
    if not url.startswith(_STORES):
        raise ValueError("must begin with redis://, rediss://, valkey:// or valkeys://")
    _shared_counters(url, b"")
