"""Sliding-window counters in a Redis or Valkey that all processes share (RATE_LIMIT_STORAGE).

Import this module only if that is set: the client library takes 24 MB of memory.
"""

import asyncio
import hmac
import math
import time
from contextlib import closing
from functools import cache
from hashlib import sha256
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute, parse
from limits import storage as blocking_storage
from limits import strategies as blocking_strategies
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.client import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry as BlockingRetry

from service.security.breaker import StoreError
from service.security.limit import Limit
from service.security.local_counters import Count

_STORE_SECONDS: Final = 0.25
# A connection carries thousands of requests a second. With more connections, requests would
# only wait elsewhere.
_CONNECTIONS: Final = 16
# If a restart of the store ends the connection, try once more, on another one.
_RETRY: Final = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))


class SharedCounters:
    """Counters in the store at `url`.

    Names are hashed with `key` before they are stored: the store never holds an address, e-mail or
    token.
    """

    def __init__(self, url: str, key: bytes) -> None:
        # One client library for Redis and Valkey: they speak the same protocol.
        self._url = url.replace("valkey", "redis", 1)
        # A request waits for one of these connections, as long as it waits for an answer.
        self._pool = BlockingConnectionPool.from_url(
            self._url,
            max_connections=_CONNECTIONS,
            timeout=_STORE_SECONDS,
            socket_timeout=_STORE_SECONDS,
            socket_connect_timeout=_STORE_SECONDS,
            socket_keepalive=True,
            retry=_RETRY,
        )
        storage = RedisStorage(
            f"async+{self._url}",
            wrap_exceptions=True,
            implementation="redispy",
            connection_pool=self._pool,  # type: ignore[arg-type] # documented, but missing in the type
        )
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

    async def probe(self) -> None:
        """Count hits on a connection of its own. Raises `StoreError`.

        It runs in a thread, so that neither a busy event loop nor a busy pool can make it fail.
        """
        await asyncio.to_thread(_probe, self._url)
        # Idle connections may lead to a server that no longer exists.
        await self._pool.disconnect(inuse_connections=False)

    def hashed(self, name: str) -> str:
        """Return the hash that the store holds for `name`."""
        return hmac.digest(self._key, name.encode("utf-8", "replace"), sha256).hex()[:32]

    async def close(self) -> None:
        """Close the connections to the store."""
        await self._pool.aclose()


def _probe(url: str) -> None:
    """Do what counting a request needs. Raise `StoreError` if it fails or takes too long."""
    item = RateLimitItemPerMinute(1_000_000)
    client = Redis.from_url(
        url,
        socket_timeout=_STORE_SECONDS,
        socket_connect_timeout=_STORE_SECONDS,
        retry=BlockingRetry(NoBackoff(), 0),
    )
    with closing(client):
        storage = blocking_storage.RedisStorage(url, connection_pool=client.connection_pool)
        limiter = blocking_strategies.SlidingWindowCounterRateLimiter(storage)
        try:
            limiter.hit(item, "probe")  # connects
            begun = time.perf_counter()
            limiter.hit(item, "probe")
            limiter.get_window_stats(item, "probe")
        except (RedisError, OSError) as error:
            raise StoreError(f"{type(error).__name__}: {error}") from error
    if time.perf_counter() - begun > _STORE_SECONDS:
        raise StoreError(f"an answer takes longer than {_STORE_SECONDS} s")


@cache
def _item_of(limit: Limit) -> RateLimitItem:
    return parse(str(limit))
