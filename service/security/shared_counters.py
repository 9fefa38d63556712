"""Sliding-window counters in a Redis or Valkey that all processes share (RATE_LIMIT_STORAGE).

Import this module only if that is set: the client library takes 24 MB of memory.
"""

import asyncio
import hmac
import math
import time
from functools import cache
from hashlib import sha256
from typing import Final

from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from service.security.limit import Limit
from service.security.local_counters import Count

_STORE_SECONDS: Final = 0.25


class StoreError(Exception):
    """The store did not answer, or not in time."""


class SharedCounters:
    """Counters in the store at `url`.

    Names are hashed with `key` before they are stored: the store never holds an address, e-mail or
    token.
    """

    def __init__(self, url: str, key: bytes) -> None:
        # One client library for Redis and Valkey: they speak the same protocol.
        storage = storage_from_string(
            f"async+{url.replace('valkey', 'redis', 1)}",
            wrap_exceptions=True,
            implementation="redispy",
            socket_timeout=_STORE_SECONDS,
            socket_connect_timeout=_STORE_SECONDS,
        )
        assert isinstance(storage, RedisStorage)  # noqa: S101 - the URL's scheme says so
        self._storage = storage
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._key = key

    async def hit(self, kind: str, name: str, limit: Limit) -> Count:
        """Count one hit of `name`. Raises `StoreError`."""
        hashed, item = self.hashed(name), _item_of(limit)
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                allowed = await self._limiter.hit(item, kind, hashed)
                stats = await self._limiter.get_window_stats(item, kind, hashed)
        except (StorageError, OSError, TimeoutError) as error:
            raise StoreError(type(error).__name__) from error
        reset = max(1, math.ceil(stats.reset_time - time.time()))
        return Count(allowed, max(0, stats.remaining), reset)

    def hashed(self, name: str) -> str:
        """Return the hash that the store holds for `name`."""
        return hmac.digest(self._key, name.encode("utf-8", "replace"), sha256).hex()[:32]

    async def close(self) -> None:
        """Close the connections to the store."""
        bridge = self._storage.bridge
        assert isinstance(bridge, RedispyBridge)  # noqa: S101 - asked for above
        await bridge.storage.aclose()


@cache
def _item_of(limit: Limit) -> RateLimitItem:
    return parse(str(limit))
