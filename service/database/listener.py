"""The LISTEN connection: it receives notifications, and is opened again when it is lost.

1. A transaction pooler cannot LISTEN, so the connection is made to DIRECT_DATABASE_URL.
2. A connection that was cut silently looks like one without notifications. So each listener has a
   channel of its own, on which it sends itself a notification, the heartbeat. Like all others, it
   is sent through DATABASE_URL. So it also shows whether the two URLs lead to the same database,
   and whether DIRECT_DATABASE_URL leads through a transaction pooler.
3. `listening` is true only after a heartbeat has arrived, and only until the next one is overdue.

A process has one such connection for all channels, because each one keeps a database awake.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import asyncpg

from service.database.execution import Database, DatabaseUnavailableError
from service.database.opening import Opener
from service.database.statements import Statement
from service.database.url import DatabaseUrl

logger = logging.getLogger("service")

_CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 3.0
"""How long a heartbeat can take before it is overdue."""
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 10.0
_NOTIFY: Final = Statement("SELECT pg_notify(:channel, '')")


class ConnectionLostError(Exception):
    """The connection was closed, or notifications do not arrive on it."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What to call about the notifications on `channels`.

    `heard` gets the channel and the payload of each notification. `resumed` is called when
    notifications arrive, at the start and after each loss: earlier ones may have been missed.
    `lost` is called when they stop.
    """

    channels: tuple[str, ...]
    heard: Callable[[str, str], None]
    resumed: Callable[[], None]
    lost: Callable[[], None] = lambda: None


class Listener:
    """Passes notifications to its subscriptions. `database` sends the heartbeats."""

    def __init__(self, url: DatabaseUrl, database: Database, *, heartbeat_seconds: float) -> None:
        self._opener = Opener(
            url,
            application="better-auth-resource-server listening",
            prepared_statements=False,
            command_seconds=_CONNECT_SECONDS,
        )
        self._subscriptions: list[Subscription] = []
        self._database = database
        self._heartbeat_seconds = heartbeat_seconds
        self._heartbeat = f"heartbeat_{secrets.token_hex(8)}"
        self._good_until = float("-inf")

    @property
    def listening(self) -> bool:
        """Whether notifications arrive."""
        return time.monotonic() < self._good_until

    def subscribe(self, subscription: Subscription) -> None:
        """Add a subscription, before `run` is called."""
        self._subscriptions.append(subscription)

    async def run(self) -> None:
        """Listen until cancelled."""
        pause, silent = _FIRST_PAUSE, False
        while True:
            try:
                await self._listen()
            except (
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                OSError,
                TimeoutError,
                DatabaseUnavailableError,
                ConnectionLostError,
            ) as error:
                if self._stop_listening():
                    pause, silent = _FIRST_PAUSE, False
                if not silent:
                    # Logged once, not for every attempt while the database is gone.
                    logger.warning(
                        "not listening for changed keys and revocations (%s); polling for them"
                        " until notifications arrive on DIRECT_DATABASE_URL again",
                        error if isinstance(error, ConnectionLostError) else type(error).__name__,
                    )
                    silent = True
            except Exception:  # no error may end the background task
                logger.exception(
                    "unexpected error while listening for changed keys and revocations; retrying"
                )
            finally:
                self._stop_listening()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _listen(self) -> None:
        """Listen on one connection. Raises an error when it is lost."""
        connection = await self._opener.open(_CONNECT_SECONDS)
        try:
            closed, arrived = asyncio.Event(), asyncio.Event()
            connection.add_termination_listener(lambda _: closed.set())
            await connection.add_listener(self._heartbeat, lambda *_: arrived.set())
            for each in self._subscriptions:
                hear = _calling(each.heard)
                for channel in each.channels:
                    await connection.add_listener(channel, hear)
            await self._beat(arrived)
            for each in self._subscriptions:
                each.resumed()
            while not await _is_set_within(closed, self._heartbeat_seconds):
                await self._beat(arrived)
            raise ConnectionLostError("the connection was closed")
        finally:
            connection.terminate()

    async def _beat(self, arrived: asyncio.Event) -> None:
        """Send a heartbeat, and wait until it arrives."""
        arrived.clear()
        await self._database.execute(_NOTIFY, {"channel": self._heartbeat})
        if not await _is_set_within(arrived, ANSWER_SECONDS):
            raise ConnectionLostError(
                f"a NOTIFY sent through DATABASE_URL did not arrive within {ANSWER_SECONDS:g} s"
            )
        self._good_until = time.monotonic() + self._heartbeat_seconds + ANSWER_SECONDS

    def _stop_listening(self) -> bool:
        """Return whether notifications have arrived until now."""
        listened = self._good_until > float("-inf")
        self._good_until = float("-inf")
        if listened:
            for each in self._subscriptions:
                each.lost()
        return listened


def _calling(heard: Callable[[str, str], None]) -> Callable[..., None]:
    """Return a listener in asyncpg's form."""
    return lambda _connection, _pid, channel, payload: heard(channel, payload)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
