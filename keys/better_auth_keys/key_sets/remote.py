"""`RemoteKeySet`: the issuer's JWKS, fetched ahead of need, cached, and surviving outages.

The rules, in order:

1. One background task does every fetch; there is never more than one under way.
2. A request whose key is known and not past the stale window is answered from an immutable
   snapshot: it never waits and takes no lock.
3. A request whose key is not known is decided only by a fetch begun after it arrived. Such fetches
   are at most one a cool-down (1 s) for the process, failures included. The request waits at most
   2 s for it; if the fetch fails or does not come in time, the answer is "unavailable", never
   "unknown". What was decided unknown is remembered for 2 s.
4. A good set is replaced by a good set only. A failed fetch leaves it in place until `stale_until`.
5. Failures back off with jitter; `Retry-After` (and Better Auth's `X-Retry-After`) is obeyed by
   every fetch.

Ages run on the monotonic clock: a wall clock that jumps changes nothing here.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from types import MappingProxyType

import httpx
from cachetools import TTLCache

from better_auth_keys.clock import Clock, SystemClock
from better_auth_keys.errors import KeySetUnavailableError
from better_auth_keys.key_sets.fetch import FetchError, FetchLimits, JwksFetcher
from better_auth_keys.key_sets.key_set import KeySetState, KeySetStatus, KeySnapshot
from better_auth_keys.tokens.jwk import DEFAULT_ALGORITHMS, VerificationKey

logger = logging.getLogger("keys")

_EMPTY = KeySnapshot(MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class RefreshPolicy:
    """When a `RemoteKeySet` fetches and how long it holds on to what it has. Seconds throughout."""

    default_lifetime: float = 300
    """How long a set is fresh when the issuer says nothing of it (Better Auth does not)."""
    min_lifetime: float = 30
    max_lifetime: float = 3600
    stale_window: float = 24 * 3600
    """How long keys are served past their freshness while the issuer cannot be reached."""
    cool_down: float = 1
    max_wait: float = 2
    max_waiters: int = 4000
    unknown_memory: float = 2
    unknown_memory_size: int = 4096
    max_backoff: float = 60
    max_pause: float = 300
    """The longest `Retry-After` that is obeyed: a slip of the issuer's must not cost an hour."""


@dataclass(slots=True)
class _Fetch:
    """One fetch. `ordinal` counts from 1; a fetch that is only planned has none yet."""

    ordinal: int | None = None
    # A fetch that is cut off has not shown anything: it fails unless it says otherwise.
    error: str | None = "interrupted"
    done: asyncio.Event = field(default_factory=asyncio.Event)


class RemoteKeySet:
    """The keys behind one issuer's JWKS URL. Start it once, share it between all requests.

    `url` must be https, or name a loopback host or one of `plain_http_hosts`; `ValueError` if not.
    TLS is always verified; `ca_file` adds authorities to the usual ones. A `transport` replaces
    the network in special deployments and tests.
    """

    def __init__(  # noqa: PLR0913 - each is a knob of its own, all but one with a default
        self,
        url: str,
        *,
        algorithms: str | Collection[str] = DEFAULT_ALGORITHMS,
        plain_http_hosts: str | Collection[str] = (),
        ca_file: str | None = None,
        policy: RefreshPolicy | None = None,
        limits: FetchLimits | None = None,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._fetcher = JwksFetcher(
            url,
            algorithms=algorithms,
            plain_http_hosts=plain_http_hosts,
            ca_file=ca_file,
            limits=limits or FetchLimits(),
            transport=transport,
        )
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
        self._waiters = 0
        self._demanded = False
        self._wake = asyncio.Event()
        self._next = _Fetch()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the background task; the first fetch begins at once and nothing waits for it."""
        if self._task is None or self._task.done():
            # Before anything is waited for: two that start at once must not make two tasks.
            self._task = asyncio.create_task(self._run(), name="jwks-refresh")
            await self._fetcher.warm_up()

    async def stop(self) -> None:
        """End the background task and close its connections."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            # Not `await task`: its cancellation could not be told from our caller's.
            await asyncio.wait({task})
        await self._fetcher.close()

    async def find(self, kid: str) -> VerificationKey | None:
        """Give the key named `kid`, or None once the issuer has been asked and has none.

        Raises `KeySetUnavailableError` when that cannot be told.
        """
        if self._clock.monotonic() < self._stale_until:
            key = self._snapshot.keys.get(kid)
            if key is not None or kid in self._unknown:
                return key
        return await self._ask_issuer(kid)

    async def refresh(self) -> None:
        """Have a fetch begin now, as far as the cool-down allows, and wait for it.

        Raises `KeySetUnavailableError` if it fails or does not come in time.
        """
        await self._wait_for_fetch(lambda: None)

    def status(self) -> KeySetStatus:
        """Tell the state of the set without waiting for anything."""
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
                "too many requests wait for keys", retry_after=self._policy.cool_down
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

    async def _wait_for_fetch(
        self, answer: Callable[[], VerificationKey | None]
    ) -> VerificationKey | None:
        """Wait for a fetch begun from now on, or an earlier one that has the answer."""
        begun_before = self._fetches
        deadline = self._clock.monotonic() + self._policy.max_wait
        while True:
            now = self._clock.monotonic()
            if now >= deadline:
                raise self._unavailable("the issuer did not answer in time", now)
            fetch = self._demand(deadline, now)
            await self._clock.wait(fetch.done, deadline - now)
            if not fetch.done.is_set():
                continue
            now = self._clock.monotonic()
            found = answer()
            if found is not None:
                return found
            if fetch.ordinal is None or fetch.ordinal <= begun_before:
                # It had begun before this request: it could show the key, but not its absence.
                continue
            if fetch.error is not None:
                raise self._unavailable(fetch.error, now)
            return None

    def _demand(self, deadline: float, now: float) -> _Fetch:
        """Give the fetch under way or, where there is none, ask the background task for one."""
        if self._task is None or self._task.done():
            raise KeySetUnavailableError("the key set is not started", retry_after=1)
        if self._next.ordinal is None:
            if self._earliest_fetch() > deadline:
                # Nothing can come in time (the issuer asked for a pause): say so at once.
                raise self._unavailable(self._last_error or "the issuer asked for a pause", now)
            self._demanded = True
            self._wake.set()
        return self._next

    def _unavailable(self, detail: str, now: float) -> KeySetUnavailableError:
        return KeySetUnavailableError(detail, retry_after=self._earliest_fetch() - now)

    def _earliest_fetch(self) -> float:
        """Tell when the next fetch may begin at the earliest, wanted or not."""
        return max(self._last_start + self._policy.cool_down, self._not_before)

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
                # Only time can help now; another demand changes nothing.
                await self._clock.wait(asyncio.Event(), due - now)
            else:
                await self._clock.wait(self._wake, due - now)

    async def _fetch(self) -> None:
        fetch = self._next
        self._last_start = self._clock.monotonic()
        self._fetches += 1
        fetch.ordinal = self._fetches
        try:
            answer = await self._fetcher.fetch(has_keys=self._fetched_at is not None)
        except FetchError as error:
            self._failed(fetch, str(error), error.retry_after)
        except Exception:  # the task must outlive whatever a peer can provoke
            logger.exception("fetching the key set failed unexpectedly")
            self._failed(fetch, "unexpected error", None)
        else:
            fetch.error = None
            self._succeeded(answer.snapshot, answer.max_age)
        finally:
            self._next = _Fetch()
            fetch.done.set()

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

    def _failed(self, fetch: _Fetch, error: str, retry_after: float | None) -> None:
        policy, now = self._policy, self._clock.monotonic()
        self._failures += 1
        backoff = min(policy.max_backoff, policy.cool_down * 2.0**self._failures_in_a_row)
        self._failures_in_a_row = min(self._failures_in_a_row + 1, 16)
        self._next_refresh = now + backoff * self._clock.jitter(0.5, 1.0)
        if retry_after is not None:
            self._not_before = now + min(retry_after, policy.max_pause)
        if error != self._last_error:
            logger.warning("fetching the key set failed: %s", error)
        fetch.error = self._last_error = error
