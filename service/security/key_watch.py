"""Follow changed keys and revoked tokens, and report which keys this replica knows.

Operators' commands and sign-outs send a NOTIFY.

1. After a change of keys, the revocations are loaded first, because nothing slow may delay them.
   Then the issuer's keys are fetched, and this replica reports the keys it knows. An operator
   activates a key when every replica knows it.
2. After a revocation of tokens, the new revocations are loaded.
3. Revocations are also polled for every `LOOK_SECONDS`, in case a notification was missed, and
   every `heartbeat_seconds` while no notifications arrive. This also prolongs the entries of
   sessions whose tokens were refused. The report is repeated every `LOOK_SECONDS`.

It uses its own database connection: requests that occupy the whole pool must not delay the
revocation of a stolen key.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from better_auth_keys import (
    KeySet,
    KeySetState,
    KeySetUnavailableError,
    VerificationPolicy,
)
from better_auth_keys.revocation_feed import (
    CHANNELS,
    KEYS_CHANNEL,
    TOKENS_CHANNEL,
    TooManyRevocationsError,
)
from service.database.execution import Database, DatabaseUnavailableError, DriverError
from service.database.listener import Listener, Subscription
from service.database.statements import Statement
from service.security.audit import Event, SecurityLog
from service.security.revocation_feed import RevocationFeed
from service.security.revocations import Revocations

logger = logging.getLogger("service")

LOOK_SECONDS: Final = 30.0
"""How often revocations are polled for, in case a notification was missed."""
_RETRY_SECONDS: Final = 1.0
_RELOAD_SECONDS: Final = 3600.0
"""How often the whole list is reloaded, to forget entries that no longer match any valid token."""
_PAUSE_SECONDS: Final = 0.1
"""The pause between two loads, so that in a burst each load has many revocations."""
_PART_PAUSE_SECONDS: Final = 0.05
"""The pause between two parts of the whole list."""
_LONG_PAUSE_SECONDS: Final = 60.0
"""The pause before the whole list is loaded again after a failure or too many revocations."""
_NAME_LENGTH: Final = 300

_REPORT: Final = Statement(
    "INSERT INTO public.service_replicas (name, kids, algorithms, listening)"
    " VALUES (:name, CAST(:kids AS text[]), CAST(:algorithms AS text[]), :listening)"
    " ON CONFLICT (name) DO UPDATE SET kids = excluded.kids, algorithms = excluded.algorithms,"
    " listening = excluded.listening, seen_at = clock_timestamp()"
)
_LEAVE: Final = Statement("DELETE FROM public.service_replicas WHERE name = :name")
_FORGET: Final = Statement(
    "DELETE FROM public.service_replicas WHERE seen_at < now() - interval '1 day'"
)


class KeyWatch:
    """Keeps the revocations and the key set up to date with changes made elsewhere."""

    def __init__(  # noqa: PLR0913 - it keeps these up to date
        self,
        database: Database,
        listener: Listener,
        key_set: KeySet,
        *,
        policy: VerificationPolicy,
        security: SecurityLog,
        heartbeat_seconds: float,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._database = database
        self._look_seconds = look_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._security = security
        self._state: KeySetState | None = None
        self._key_set = key_set
        self._algorithms = sorted(policy.algorithms)
        self._feed = RevocationFeed(Revocations(database, policy), security)
        self._name = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(3)}"[-_NAME_LENGTH:]
        self._said, self._keys_changed = asyncio.Event(), asyncio.Event()
        self._lost = asyncio.Event()
        self._channels: set[str] = set()
        self._listener = listener
        listener.subscribe(
            Subscription(CHANNELS, heard=self._hear, resumed=self._resume, lost=self._lose)
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._failing = False
        self.revocations = self._feed.revocations

    @property
    def listening(self) -> bool:
        """Whether notifications arrive."""
        return self._listener.listening

    @property
    def age(self) -> float | None:
        """Seconds since the revocations were loaded; None if never."""
        return self._feed.age

    @property
    def kids(self) -> Sequence[str]:
        """The issuer's keys; none if they are not available."""
        return self._key_set.status().kids

    def when_revoked(self, call: Callable[[], None]) -> None:
        """Set what is called when tokens that were accepted before may be refused now."""
        self._feed.changed = call

    async def start(self, *, reachable: bool) -> None:
        """Load the revocations if the database is `reachable`, and start the background work."""
        if reachable:
            await self._attempt(self._feed.look())
        self._tasks = [
            asyncio.create_task(self._listener.run(), name="key-listener"),
            asyncio.create_task(self._follow_revocations(), name="revocations"),
            asyncio.create_task(self._reload_revocations(), name="revocations-reload"),
            asyncio.create_task(self._follow_keys(), name="keys"),
        ]

    async def stop(self) -> None:
        """Stop the background work, and remove this replica from the table of replicas."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
            await self._attempt(self._feed.keep_refused())
            await self._attempt(self._database.execute(_LEAVE, {"name": self._name}))
        self._tasks = []

    async def _follow_revocations(self) -> None:
        """Load revocations after each notification, without waiting for anything else."""
        well = self.revocations.loaded
        while True:
            seconds = self._look_seconds
            if not well or not self.listening:
                soon = self._heartbeat_seconds if well else _RETRY_SECONDS
                seconds = min(self._look_seconds, soon)
            await _wait(self._said, seconds)
            channels, self._channels = self._channels, set()
            if channels == {TOKENS_CHANNEL} and self.revocations.loaded:
                well = await self._attempt(self._feed.load_news())
            else:
                well = await self._attempt(self._feed.look())
                await self._attempt(self._feed.keep_refused())
            if KEYS_CHANNEL in channels:
                self._keys_changed.set()
            await asyncio.sleep(_LONG_PAUSE_SECONDS if self._feed.too_many else _PAUSE_SECONDS)

    async def _reload_revocations(self) -> None:
        """Load the whole list every hour, and when notifications stop, a part at a time.

        They stop when another server takes over. It may use ids again that were seen here, if the
        rows that had them were lost with the old server.
        """
        well = True
        while True:
            await _wait(self._lost, _RELOAD_SECONDS if well else _LONG_PAUSE_SECONDS)
            well = await self._attempt(self._feed.load_all(pause=_PART_PAUSE_SECONDS))
            await asyncio.sleep(_LONG_PAUSE_SECONDS)

    async def _follow_keys(self) -> None:
        """Fetch the keys whenever they have changed, and report which keys are known here."""
        await self._attempt(self._database.execute(_FORGET, {}))
        while True:
            well = await self._attempt(self._report())
            self._look_at_state()
            # Until the first keys are known, a report is soon out of date.
            settled = well and self._key_set.status().state != "unavailable"
            seconds = self._look_seconds if settled else min(self._look_seconds, _RETRY_SECONDS)
            if await _wait(self._keys_changed, seconds):
                await self._fetch_keys()

    def _look_at_state(self) -> None:
        state = self._key_set.status().state
        if state != self._state:
            healthy = state == "fresh"
            self._security.write(
                Event.KEY_SET, level=logging.INFO if healthy else logging.WARNING, state=state
            )
        self._state = state

    def _lose(self) -> None:
        self._said.set()
        self._lost.set()

    def _hear(self, channel: str, _payload: str) -> None:
        self._channels.add(channel)
        self._said.set()

    def _resume(self) -> None:
        self._channels |= {*CHANNELS}
        self._said.set()

    async def _fetch_keys(self) -> None:
        # The key set logs the failure and retries by itself.
        with suppress(KeySetUnavailableError):
            await self._key_set.refresh()

    async def _report(self) -> None:
        report = {
            "name": self._name,
            "kids": list(self.kids),
            "algorithms": self._algorithms,
            "listening": self.listening,
        }
        await self._database.execute(_REPORT, report)

    async def _attempt(self, work: Awaitable[object]) -> bool:
        """Return whether the work succeeded. Log one line when failures begin."""
        try:
            await work
        except (DatabaseUnavailableError, DriverError) as error:
            if not self._failing:
                kind = type(error).__name__
                logger.warning(
                    "cannot use the tables of revocations and replicas (%s); retrying: until then"
                    " this process may miss new revocations",
                    kind,
                )
            self._failing = True
            return False
        except TooManyRevocationsError as error:
            logger.error("%s", error)  # noqa: TRY400 - the traceback says nothing more
            return False
        except Exception:  # no error may end the background tasks
            logger.exception("unexpected error while loading revocations; retrying")
            return False
        self._failing = False
        return True


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event and clear it. Return False if it did not come in time."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True
