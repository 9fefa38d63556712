"""`RemoteKeySet`: the issuer's JWKS, fetched ahead of need, cached, and kept through outages.

The rules, in order:

1. One background task makes all fetches, one at a time.
2. If the key of a request is known and not past the stale window, it comes from an immutable
   snapshot: the request never waits and takes no lock.
3. If the key is not known, only a fetch that began after the request arrived can decide that it
   does not exist. Each process makes at most one such fetch per cool-down (1 s), failures included.
   The request waits for it for 2 s at most. If the fetch fails or takes longer, the result is
   "unavailable", never "unknown". A kid that is unknown is remembered for 2 s. When the fetch ends,
   the waiting requests go on one after the other (`pending_fetch.py`).
4. A bad signature under a known kid waits for such a fetch as well, because the issuer may have put
   another key under the kid. If the key is the same, or the fetch fails, bad signatures of this key
   are refused at once for 2 s. They never use more than a sixteenth of the places to wait.
5. Only a good set replaces a good set. After a failed fetch the old set stays until `stale_until`.
6. Failed fetches are repeated with increasing delays and jitter. All fetches obey `Retry-After`
   (and Better Auth's `X-Retry-After`).
7. With a `KeyCache`, each good set is also kept in a file. A process that starts uses these keys,
   as stale ones, until `stale_window` after they were fetched, and fetches at once.

Ages are measured with the monotonic clock, so changes of the wall clock have no effect. The age of
keys from a file is the exception: `key_cache` says how it is measured.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from types import MappingProxyType

from cachetools import TTLCache

from better_auth_keys.clock import Clock, SystemClock
from better_auth_keys.errors import KeySetUnavailableError
from better_auth_keys.key_sets.fetch import (
    FetchError,
    FetchLimits,
    FetchTracing,
    HttpTransport,
    JwksFetcher,
)
from better_auth_keys.key_sets.key_cache import KeyCache
from better_auth_keys.key_sets.key_set import KeySetState, KeySetStatus, KeySnapshot
from better_auth_keys.key_sets.pending_fetch import PendingFetch
from better_auth_keys.key_sets.refresh_policy import RefreshPolicy
from better_auth_keys.tokens.jwk import DEFAULT_ALGORITHMS, VerificationKey

logger = logging.getLogger("better_auth_keys")

_EMPTY = KeySnapshot(MappingProxyType({}))
_SHARE_OF_BAD_SIGNATURES = 1 / 16
"""How many of the places to wait (`max_waiters`) bad signatures may use."""
_CACHE_LAG = 1 / 24
"""The part of the stale window by which the time in a `KeyCache` can be too old: 1 h of 24."""


class RemoteKeySet:
    """The keys at one issuer's JWKS URL. Start it once, and share it between all requests.

    `url` must be https, or http to a loopback host or to one of `plain_http_hosts`; otherwise
    `ValueError` is raised. TLS certificates are always verified; `ca_file` adds authorities to the
    default ones. `transport` replaces httpx's network transport. `cache` keeps the last good keys
    for the next start. `tracing` returns a context manager that each fetch runs in, whose value has
    further headers for its requests.

    With `discover`, `url` is an issuer, whose metadata names the URL of its keys (RFC 8414 or
    OpenID Connect). While the metadata cannot be read, or is another issuer's, the keys are
    unavailable.
    """

    def __init__(  # noqa: PLR0913 - each is a setting of its own, all but one with a default
        self,
        url: str,
        *,
        algorithms: str | Collection[str] = DEFAULT_ALGORITHMS,
        plain_http_hosts: str | Collection[str] = (),
        ca_file: str | None = None,
        policy: RefreshPolicy | None = None,
        limits: FetchLimits | None = None,
        clock: Clock | None = None,
        transport: HttpTransport | None = None,
        cache: KeyCache | None = None,
        discover: bool = False,
        tracing: FetchTracing | None = None,
    ) -> None:
        self._fetcher = JwksFetcher(
            url,
            algorithms=algorithms,
            plain_http_hosts=plain_http_hosts,
            ca_file=ca_file,
            limits=limits or FetchLimits(),
            transport=transport,
            discover=discover,
            tracing=tracing,
        )
        self._file = None if cache is None else cache.file_of(url, algorithms)
        self._policy = policy or RefreshPolicy()
        self._clock = clock or SystemClock()
        self._snapshot = _EMPTY
        self._fetched_at: float | None = None
        self._fresh_until = self._stale_until = float("-inf")
        self._next_refresh = float("-inf")
        self._last_start = self._not_before = float("-inf")
        self._last_error: str | None = None
        self._fetches = self._failures = self._failures_in_a_row = 0
        self._unknown: TTLCache[str, None] = TTLCache(
            self._policy.unknown_memory_size, self._policy.unknown_memory, self._clock.monotonic
        )
        self._confirmed: TTLCache[VerificationKey, None] = TTLCache(
            self._policy.unknown_memory_size, self._policy.unknown_memory, self._clock.monotonic
        )
        self._suspected: dict[VerificationKey, int] = {}
        self._waiters = 0
        self._demanded = False
        self._wake = asyncio.Event()
        self._next = self._ended = PendingFetch()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the background task and its first fetch, without waiting for the keys."""
        if self._task is None or self._task.done():
            self._read_cache()
            # Before the first await, so that two concurrent calls create one task.
            self._task = asyncio.create_task(self._run(), name="jwks-refresh")
            await self._fetcher.warm_up()

    async def stop(self) -> None:
        """Stop the background task and close its connections."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            # `await task` could not tell the task's cancellation from that of our caller.
            await asyncio.wait({task})
        if self._file is not None:
            await self._file.settle()
        await self._fetcher.close()

    async def find(self, kid: str) -> VerificationKey | None:
        """Return the key with this kid, or None if the issuer was asked and has no such key.

        Raises `KeySetUnavailableError` if the issuer cannot be asked in time.
        """
        if self._clock.monotonic() < self._stale_until:
            key = self._snapshot.keys.get(kid)
            if key is not None or kid in self._unknown:
                return key
        return await self._ask_issuer(kid)

    async def replacement(self, key: VerificationKey) -> VerificationKey | None:
        """Return the key that has taken the place of `key` under its kid, or None.

        The issuer is asked within the cool-down, unless it was asked for this key just before.
        """
        most = self._policy.max_waiters * _SHARE_OF_BAD_SIGNATURES
        # Those whose fetch has ended do not count: they go on soon.
        if key in self._confirmed or len(self._next.waiters) >= most:
            return None
        # The fetch for one bad signature of the key decides for all that wait.
        begun_before = self._suspected.setdefault(key, self._fetches)
        self._waiters += 1
        try:
            found = await self._wait_for_fetch(lambda: self._other_than(key), begun_before)
        except KeySetUnavailableError:
            # The known key decides: bad signatures must not wait in every outage.
            found = None
        finally:
            self._waiters -= 1
            self._suspected.pop(key, None)
        if found is None:
            self._confirmed[key] = None
        return found

    async def refresh(self) -> None:
        """Fetch the keys as soon as the cool-down allows, and wait for the answer.

        Raises `KeySetUnavailableError` if the fetch fails or takes too long.
        """
        await self._wait_for_fetch(lambda: None)

    def status(self) -> KeySetStatus:
        """Return the status of the set, without waiting."""
        now = self._clock.monotonic()
        state: KeySetState = "unavailable"
        if now < self._stale_until:
            state = "fresh" if now < self._fresh_until else "stale"
        return KeySetStatus(
            state=state,
            kids=tuple(self._snapshot.keys) if state != "unavailable" else (),
            left_out=self._snapshot.left_out if state != "unavailable" else (),
            age=None if self._fetched_at is None else now - self._fetched_at,
            next_refresh_in=max(0.0, self._next_refresh - now) if self._fetches else 0.0,
            last_error=self._last_error,
            fetches=self._fetches,
            failures=self._failures,
        )

    async def _ask_issuer(self, kid: str) -> VerificationKey | None:
        if self._waiters >= self._policy.max_waiters:
            raise KeySetUnavailableError(
                "too many requests are waiting for keys", retry_after=self._policy.cool_down
            )
        self._waiters += 1
        try:
            key = await self._wait_for_fetch(lambda: self._known(kid))
        finally:
            self._waiters -= 1
        if key is None:
            self._unknown[kid] = None
        return key

    def _known(self, kid: str) -> VerificationKey | None:
        known = self._clock.monotonic() < self._stale_until
        return self._snapshot.keys.get(kid) if known else None

    def _other_than(self, key: VerificationKey) -> VerificationKey | None:
        found = self._known(key.kid)
        return None if found == key else found

    async def _wait_for_fetch(
        self, answer: Callable[[], VerificationKey | None], begun_before: int | None = None
    ) -> VerificationKey | None:
        """Wait for a fetch that begins after this call, or an earlier one with the answer.

        With `begun_before`, any fetch after that many will do.
        """
        if begun_before is None:
            begun_before = self._fetches
        deadline = self._clock.monotonic() + self._policy.max_wait
        while True:
            now = self._clock.monotonic()
            if now >= deadline:
                raise self._unavailable("the issuer did not answer in time", now)
            fetch = self._demand(deadline, now)
            await fetch.wait(self._clock, deadline - now)
            if not fetch.done:
                continue
            now = self._clock.monotonic()
            found = answer()
            if found is not None:
                return found
            if fetch.ordinal is None or fetch.ordinal <= begun_before:
                # It began before this request, so it can show the key, but not its absence. Another
                # one may have ended while this request waited for its turn.
                fetch = self._ended
                if fetch.ordinal is None or fetch.ordinal <= begun_before:
                    continue
            if fetch.error is not None:
                raise self._unavailable(fetch.error, now)
            return None

    def _demand(self, deadline: float, now: float) -> PendingFetch:
        """Return the fetch under way or, if there is none, request one from the background task."""
        if self._task is None or self._task.done():
            raise KeySetUnavailableError("the key set is not started", retry_after=1)
        if self._next.ordinal is None:
            if self._earliest_fetch() > deadline:
                # No fetch can finish in time, because the issuer asked for a pause.
                raise self._unavailable(self._last_error or "the issuer asked for a pause", now)
            self._demanded = True
            self._wake.set()
        return self._next

    def _unavailable(self, detail: str, now: float) -> KeySetUnavailableError:
        return KeySetUnavailableError(detail, retry_after=self._earliest_fetch() - now)

    def _earliest_fetch(self) -> float:
        """Return when the next fetch may begin at the earliest."""
        return max(self._last_start + self._policy.cool_down, self._not_before)

    def _read_cache(self) -> None:
        """Use the keys of the file until the first fetch succeeds. It is small and local."""
        if self._file is None or self._fetched_at is not None:
            return
        cached = self._file.read()
        if cached is None or cached.age >= self._policy.stale_window:
            return
        self._snapshot = cached.snapshot
        self._fetched_at = self._clock.monotonic() - cached.age
        self._stale_until = self._fetched_at + self._policy.stale_window
        logger.info("using %d cached keys of %s", len(cached.snapshot.keys), self._fetcher.url)

    async def _run(self) -> None:
        while True:
            await self._until_due()
            self._demanded = False
            await self._fetch()

    async def _until_due(self) -> None:
        while True:
            now = self._clock.monotonic()
            wanted = now if self._demanded else self._next_refresh
            due = max(wanted, self._earliest_fetch())
            if due <= now:
                return
            self._wake.clear()
            if self._demanded:
                # A fetch is demanded already: only time has to pass.
                await self._clock.wait(asyncio.Event(), due - now)
            else:
                await self._clock.wait(self._wake, due - now)

    async def _fetch(self) -> None:
        fetch = self._next
        self._last_start = self._clock.monotonic()
        self._fetches += 1
        fetch.ordinal = self._fetches
        begun = None if self._file is None else self._file.moment()
        try:
            answer = await self._fetcher.fetch(has_keys=self._fetched_at is not None)
        except FetchError as error:
            self._failed(fetch, str(error), error.retry_after)
        except Exception:  # the task must survive whatever a peer can cause
            logger.exception("fetching the key set from %s failed unexpectedly", self._fetcher.url)
            self._failed(fetch, "unexpected error", None)
        else:
            fetch.error = None
            self._succeeded(answer.snapshot, answer.max_age)
            if self._file is not None and begun is not None:
                lag = self._policy.stale_window * _CACHE_LAG
                self._file.keep(answer.document, answer.snapshot, begun, lag)
        finally:
            self._next, self._ended = PendingFetch(), fetch
            fetch.end()

    def _succeeded(self, snapshot: KeySnapshot | None, max_age: float | None) -> None:
        policy, now = self._policy, self._clock.monotonic()
        if self._last_error is not None:
            logger.info("key set recovered")
        if snapshot is not None:
            self._snapshot = snapshot
            for kid in snapshot.keys:
                self._unknown.pop(kid, None)
        lifetime = policy.default_lifetime if max_age is None else max_age
        lifetime = min(max(lifetime, policy.min_lifetime), policy.max_lifetime)
        self._fetched_at = now
        self._fresh_until = now + lifetime
        self._stale_until = self._fresh_until + policy.stale_window
        self._next_refresh = now + lifetime * self._clock.jitter(0.7, 0.9)
        self._not_before = float("-inf")
        self._last_error, self._failures_in_a_row = None, 0

    def _failed(self, fetch: PendingFetch, error: str, retry_after: float | None) -> None:
        policy, now = self._policy, self._clock.monotonic()
        self._failures += 1
        backoff = min(policy.max_backoff, policy.cool_down * 2.0**self._failures_in_a_row)
        self._failures_in_a_row = min(self._failures_in_a_row + 1, 16)
        self._next_refresh = now + backoff * self._clock.jitter(0.5, 1.0)
        if retry_after is not None:
            self._not_before = now + min(retry_after, policy.max_pause)
        if error != self._last_error:
            logger.warning("fetching the key set from %s failed: %s", self._fetcher.url, error)
        fetch.error = self._last_error = error
