"""Metrics for Prometheus (`/metrics`), with label sets that no client can make grow.

Counters and histograms are counted where things happen; what is a state (ages, sizes, the pool) is
looked at every few seconds. With several workers each writes to files that any of them adds up
(PROMETHEUS_MULTIPROC_DIR, which `python -m service` sets); gauges then say the worst of them.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from better_auth_keys import AccessTokenVerifier, KeySet, UnusableKey
from service.database.execution import Database
from service.security.key_watch import KeyWatch

MULTIPROCESS: Final = "PROMETHEUS_MULTIPROC_DIR"
_LOOK_SECONDS: Final = 2.0
_STATES: Final = ("fresh", "stale", "unavailable")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_STATUSES: Final = frozenset(status.value for status in HTTPStatus)
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS: Final = Histogram(
    "http_request_duration_seconds",
    "Requests by the template of their route, until the answer was sent",
    ["method", "route", "status"],
    buckets=_BUCKETS,
)
VERIFICATIONS: Final = Counter(
    "token_verifications", "Tokens by what was found of them", ["outcome", "reason"]
)
RATE_LIMITED: Final = Counter("rate_limited", "Requests over a limit", ["limit"])
POOL_WAIT: Final = Histogram(
    "database_pool_wait_seconds", "Until there was a connection", buckets=_BUCKETS
)
LOOP_LAG: Final = Histogram(
    "event_loop_lag_seconds",
    "How much later than asked for the event loop came back",
    buckets=_BUCKETS,
)
_CACHE: Final = Counter("verified_token_cache", "Lookups of tokens verified before", ["result"])
_FETCHES: Final = Counter("key_set_fetches", "Fetches of the issuer's keys", ["result"])
_KEY_SET: Final = Gauge(
    "key_set_state", "1 for the state of the key set", ["state"], multiprocess_mode="livemax"
)
_KEY_SET_AGE: Final = Gauge(
    "key_set_age_seconds", "Since the issuer was asked with success", multiprocess_mode="livemax"
)
_KEYS: Final = Gauge("key_set_keys", "Keys that are known", multiprocess_mode="livemin")
_LEFT_OUT: Final = Gauge(
    "key_set_left_out_keys",
    "Keys in the issuer's set that cannot verify tokens",
    ["reason"],
    multiprocess_mode="livemax",
)
_REVOKED: Final = Gauge("revocations", "Entries in the list", multiprocess_mode="livemin")
_REVOKED_AGE: Final = Gauge(
    "revocations_age_seconds", "Since the list was loaded", multiprocess_mode="livemax"
)
_LISTENING: Final = Gauge(
    "listening", "Whether changes of keys are heard of at once", multiprocess_mode="livemin"
)
_POOL: Final = Gauge(
    "database_pool_connections_in_use", "Connections in use", multiprocess_mode="livesum"
)


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count a request by the template of its route; methods that are not HTTP's are one label."""
    _series(method if method in _METHODS else "other", route, _known(status)).observe(seconds)


# A label look-up costs more than the observation. No client can make the label sets grow.
@cache
def _series(method: str, route: str, status: str) -> Histogram:
    return REQUESTS.labels(method, route, status)


def exposition() -> tuple[bytes, str]:
    """Give the metrics of all workers in Prometheus' text format, and its media type."""
    if MULTIPROCESS not in os.environ:
        return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # it has no annotations
    return generate_latest(registry), CONTENT_TYPE_LATEST


class Watch:
    """Looks at what is a state rather than an event."""

    def __init__(
        self,
        database: Database,
        key_set: KeySet,
        verifier: AccessTokenVerifier,
        key_watch: KeyWatch,
    ) -> None:
        self._database = database
        self._key_set = key_set
        self._verifier = verifier
        self._key_watch = key_watch
        self._counted: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look from now on, every few seconds."""
        self._task = asyncio.create_task(self._run(), name="metrics")

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def look(self) -> None:
        """Take down how things are."""
        status = self._key_set.status()
        for state in _STATES:
            _KEY_SET.labels(state).set(state == status.state)
        _KEY_SET_AGE.set(_or_nan(status.age))
        _KEYS.set(len(status.kids))
        reasons = [key.reason for key in status.left_out]
        for reason in UnusableKey:
            _LEFT_OUT.labels(reason.value).set(reasons.count(reason))
        _REVOKED.set(len(self._key_watch.revocations))
        _REVOKED_AGE.set(_or_nan(self._key_watch.age))
        _LISTENING.set(self._key_watch.listening)
        _POOL.set(self._database.connections_in_use)
        counters = self._verifier.cache_counters
        self._add(_CACHE, {"hit": counters.hits, "miss": counters.misses})
        self._add(
            _FETCHES, {"success": status.fetches - status.failures, "failure": status.failures}
        )

    def _add(self, counter: Counter, totals: Mapping[str, int]) -> None:
        """Add what has come since: these are counted elsewhere."""
        for label, total in totals.items():
            name = f"{counter}{label}"
            counter.labels(label).inc(max(0, total - self._counted.get(name, 0)))
            self._counted[name] = total

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
