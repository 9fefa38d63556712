"""Rate limits: for each client address and account on signing in, for each user on the rest.

Counted in this process, or in a Redis or Valkey that all processes share (RATE_LIMIT_STORAGE). By
what is counted is hashed first: no address, e-mail or token is in the store. A store that is down
must not take the service down: it is asked again after a moment, and until then tasks are served
and sign-ins are not, for guessing passwords is what limits are for. Both is a setting.
"""

import asyncio
import hmac
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from service.http.client_address import counted_as

logger = logging.getLogger("service")

Kind = Literal["register", "login", "refresh", "logout", "account", "tasks"]

# A client usually holds a whole /64.
_IPV6_PREFIX: Final = 64
_STORE_SECONDS: Final = 0.25
_PAUSE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit. `reset` is in seconds."""

    limit: int
    window: int
    remaining: int
    reset: int

    def headers(self) -> Mapping[str, str]:
        """Give the fields of draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit": f'"default";r={self.remaining};t={self.reset}',
            "RateLimit-Policy": f'"default";q={self.limit};w={self.window}',
        }


class RateLimitedError(Exception):
    """Over the limit."""

    code = "rate_limited"

    def __init__(self, kind: Kind, allowance: Allowance) -> None:
        super().__init__(kind)
        self.kind = kind
        self.allowance = allowance


class RateLimitUnavailableError(Exception):
    """The store is down, and without it this is not done. `retry_after` is in seconds."""

    code = "rate_limit_unavailable"
    retry_after = _PAUSE_SECONDS


class RateLimits:
    """The limits of one service. Raises `ValueError` for a storage that is none."""

    def __init__(
        self,
        limits: Mapping[Kind, RateLimitItem],
        *,
        storage: str | None,
        key: bytes,
        fail_open: frozenset[Kind],
    ) -> None:
        self._limits = limits
        self._storage = storage_of(storage)
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)
        self._key = key
        self._fail_open = fail_open
        self._down_until = float("-inf")
        self._down = False

    @property
    def available(self) -> bool:
        """Whether the store answered when it was last asked."""
        return not self._down

    async def hit(self, kind: Kind, value: str) -> Allowance | None:
        """Count one; give what is left, or None where nobody could count.

        Raises `RateLimitedError`, `RateLimitUnavailableError`.
        """
        if time.monotonic() < self._down_until:
            self._refuse_uncounted(kind)
            return None
        item, name = self._limits[kind], self._hashed(value)
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                allowed = await self._limiter.hit(item, kind, name)
                stats = await self._limiter.get_window_stats(item, kind, name)
        except (StorageError, OSError, TimeoutError) as error:
            if not self._down:
                logger.warning("the store of rate limits is down (%s)", type(error).__name__)
            self._down, self._down_until = True, time.monotonic() + _PAUSE_SECONDS
            self._refuse_uncounted(kind)
            return None
        if self._down:
            logger.info("the store of rate limits is back")
        self._down = False
        reset = max(1, math.ceil(stats.reset_time - time.time()))
        allowance = Allowance(item.amount, item.get_expiry(), max(0, stats.remaining), reset)
        if not allowed:
            raise RateLimitedError(kind, allowance)
        return allowance

    async def hit_address(self, kind: Kind, address: str) -> None:
        """Count one for a client's normalized address; an IPv6 address counts as its network.

        Raises `RateLimitedError`, `RateLimitUnavailableError`.
        """
        await self.hit(kind, counted_as(address, _IPV6_PREFIX))

    async def close(self) -> None:
        """Close the connections to the store."""
        if isinstance(self._storage, RedisStorage):
            bridge = self._storage.bridge
            assert isinstance(bridge, RedispyBridge)  # noqa: S101 - asked for below
            await bridge.storage.aclose()

    def _refuse_uncounted(self, kind: Kind) -> None:
        if kind not in self._fail_open:
            raise RateLimitUnavailableError

    def _hashed(self, value: str) -> str:
        return hmac.digest(self._key, value.encode("utf-8", "replace"), sha256).hex()[:32]


def parse_limit(text: str) -> RateLimitItem:
    """Read a limit such as `5/minute`. Raises `ValueError`."""
    try:
        return parse(text)
    except ValueError:
        raise ValueError("must be a number and a unit, such as 5/minute") from None


def storage_of(url: str | None) -> Storage:
    """Make the store; nothing is asked of it yet. Raises `ValueError`."""
    if url is None:
        return MemoryStorage()
    if not url.startswith(("redis://", "rediss://", "valkey://", "valkeys://")):
        raise ValueError("must begin with redis://, rediss://, valkey:// or valkeys://")
    # One client library for both: they speak the same protocol.
    found = storage_from_string(
        f"async+{url.replace('valkey', 'redis', 1)}",
        wrap_exceptions=True,
        implementation="redispy",
        socket_timeout=_STORE_SECONDS,
        socket_connect_timeout=_STORE_SECONDS,
    )
    assert isinstance(found, Storage)  # noqa: S101 - async+ says so
    return found
