"""Metrics for Prometheus (`/metrics`). No client can make the label sets grow.

Counters and histograms are updated where the events happen. Gauges (ages, sizes, the pool) are
sampled every few seconds. With several workers, each writes its values to files, and the worker
that is scraped adds them up (`metrics_files.py`). Gauges then show the worst value of the
running workers; connections in use are added up.
"""

import asyncio
import os
import time
from functools import cache
from http import HTTPStatus
from typing import Final, Protocol

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from better_auth_keys import AccessTokenVerifier, KeySet, UnusableKey
from service.database.execution import Database
from service.security.key_watch import KeyWatch
from service.security.rate_limits import RateLimits
from service.system.histogram import Histogram
from service.system.metrics_files import FOLDER

_LOOK_SECONDS: Final = 2.0
_STATES: Final = ("fresh", "stale", "unavailable")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STATUSES: Final = frozenset(status.value for status in HTTPStatus)
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS: Final = Histogram(
    "http_request_duration_seconds",
    "Duration of requests until the response was sent, by route template",
    ["method", "route", "status"],
    buckets=_BUCKETS,
)
VERIFICATIONS: Final = Counter(
    "token_verifications", "Verified tokens by outcome", ["outcome", "reason"]
)
RATE_LIMITED: Final = Counter("rate_limited", "Requests refused by a rate limit", ["limit"])
POOL_WAIT: Final = Histogram(
    "database_pool_wait_seconds", "Time waited for a database connection", buckets=_BUCKETS
)
LOOP_LAG: Final = Histogram(
    "event_loop_lag_seconds",
    "Delay with which the event loop woke a sleeping task",
    buckets=_BUCKETS,
)
_CACHE: Final = Counter("verified_token_cache", "Lookups of verified tokens", ["result"])
_FETCHES: Final = Counter("key_set_fetches", "Fetches of the issuer's keys", ["result"])
_KEY_SET: Final = Gauge(
    "key_set_state", "1 for the state of the key set", ["state"], multiprocess_mode="livemax"
)
_KEY_SET_AGE: Final = Gauge(
    "key_set_age_seconds", "Time since the last successful fetch", multiprocess_mode="livemax"
)
_KEYS: Final = Gauge("key_set_keys", "Known keys", multiprocess_mode="livemin")
_KEY_CHANGES: Final = Counter(
    "key_set_changes", "Changes of the known keys since the process first knew some"
)
_LEFT_OUT: Final = Gauge(
    "key_set_left_out_keys",
    "Keys in the issuer's set that cannot verify tokens",
    ["reason"],
    multiprocess_mode="livemax",
)
_REVOKED: Final = Gauge("revocations", "Revocations in memory", multiprocess_mode="livemin")
_REVOKED_AGE: Final = Gauge(
    "revocations_age_seconds", "Time since revocations were loaded", multiprocess_mode="livemax"
)
_LISTENING: Final = Gauge(
    "listening", "1 if notifications of changed keys arrive", multiprocess_mode="livemin"
)
_STORE: Final = Gauge(
    "rate_limit_store_available",
    "0 while the rate limit store is unavailable and each process counts on its own",
    multiprocess_mode="livemin",
)
_NOT_SHARED: Final = Counter(
    "rate_limit_not_shared",
    "Requests counted in their process only, because the rate limit store did not answer",
)
_POOL: Final = Gauge(
    "database_pool_connections_in_use", "Database connections in use", multiprocess_mode="livesum"
)
_RUNNING: Final = Gauge(
    "requests_running", "Admitted requests that are handled", multiprocess_mode="livesum"
)
_WAITING: Final = Gauge(
    "requests_waiting",
    "Admitted requests that wait until they are handled",
    multiprocess_mode="livesum",
)
EVENT_STREAMS: Final = Gauge("event_streams", "Open streams of events", multiprocess_mode="livesum")
EVENT_STREAMS_ENDED: Final = Counter(
    "event_streams_ended", "Streams of events that ended, by reason", ["reason"]
)
EVENTS_SENT: Final = Counter("events_sent", "Events about tasks that were sent to streams")


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request under its route's template. Unknown methods share one label."""
    _series(method if method in _METHODS else "other", route, _known(status)).observe(seconds)


# Looking a label up costs more than the observation itself.
@cache
def _series(method: str, route: str, status: str) -> Histogram:
    return REQUESTS.labels(method, route, status)


def exposition() -> tuple[bytes, str]:
    """Return the metrics of all workers in Prometheus' text format, and its media type."""
    if FOLDER not in os.environ:
        return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # it has no annotations
    return generate_latest(registry), CONTENT_TYPE_LATEST


class Requests(Protocol):
    """The requests in flight. `Admission` counts them, and uses this module itself."""

    @property
    def running(self) -> int:
        """How many are handled."""
        ...

    @property
    def waiting(self) -> int:
        """How many wait until they are handled."""
        ...


class Watch:
    """Samples the gauges, and the counters that other parts keep."""

    def __init__(  # noqa: PLR0913 - what it samples, each passed by name
        self,
        *,
        database: Database,
        key_set: KeySet,
        verifier: AccessTokenVerifier,
        key_watch: KeyWatch,
        rate_limits: RateLimits,
        requests: Requests,
    ) -> None:
        self._database = database
        self._key_set = key_set
        self._verifier = verifier
        self._key_watch = key_watch
        self._rate_limits = rate_limits
        self._requests = requests
        self._counted: dict[Counter, int] = {}
        self._kids: frozenset[str] = frozenset()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start sampling every few seconds."""
        self._task = asyncio.create_task(self._run(), name="metrics")

    async def stop(self) -> None:
        """Stop sampling."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def look(self) -> None:
        """Sample everything once."""
        status = self._key_set.status()
        for state in _STATES:
            _KEY_SET.labels(state).set(state == status.state)
        _KEY_SET_AGE.set(_or_nan(status.age))
        _KEYS.set(len(status.kids))
        self._count_change(frozenset(status.kids))
        reasons = [key.reason for key in status.left_out]
        for reason in UnusableKey:
            _LEFT_OUT.labels(reason.value).set(reasons.count(reason))
        _REVOKED.set(len(self._key_watch.revocations))
        _REVOKED_AGE.set(_or_nan(self._key_watch.age))
        _LISTENING.set(self._key_watch.listening)
        _POOL.set(self._database.connections_in_use)
        _RUNNING.set(self._requests.running)
        _WAITING.set(self._requests.waiting)
        counters = self._verifier.cache_counters
        self._add(_CACHE.labels("hit"), counters.hits)
        self._add(_CACHE.labels("miss"), counters.misses)
        self._add(_FETCHES.labels("success"), status.fetches - status.failures)
        self._add(_FETCHES.labels("failure"), status.failures)
        _STORE.set(self._rate_limits.available)
        self._add(_NOT_SHARED, self._rate_limits.not_shared)

    def _count_change(self, kids: frozenset[str]) -> None:
        """Count a change of the known keys. Keys that are not available are not a change."""
        if self._kids and kids and kids != self._kids:
            _KEY_CHANGES.inc()
        self._kids = kids or self._kids

    def _add(self, counter: Counter, total: int) -> None:
        """Add the increase of a total since the last sample."""
        counter.inc(max(0, total - self._counted.get(counter, 0)))
        self._counted[counter] = total

    async def _run(self) -> None:
        while True:
            self.look()
            asked = time.perf_counter()
            await asyncio.sleep(_LOOK_SECONDS)
            LOOP_LAG.observe(max(0.0, time.perf_counter() - asked - _LOOK_SECONDS))


def _known(status: int) -> str:
    return str(status) if status in _STATUSES else "none"


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
