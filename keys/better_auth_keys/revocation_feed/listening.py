"""The LISTEN connection of a feed: it is opened again when it is lost.

1. A connection that was cut silently looks like one without notifications. So each one has a
   channel of its own, on which the feed's other connection sends a notification, the heartbeat. It
   also shows whether the URL leads through a transaction pooler, where LISTEN does not work.
2. `listening` is true only after a heartbeat has arrived, and only until the next one is overdue.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from better_auth_keys.revocation_feed.connection import ERRORS, Address, Reader
from better_auth_keys.revocation_feed.stored import CHANNELS

logger = logging.getLogger("better_auth_keys")

ANSWER_SECONDS: Final = 3.0
"""How long a heartbeat can take before it is overdue."""
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 10.0
_NOTIFY: Final = "SELECT pg_notify($1, '')"


class _ConnectionLostError(Exception):
    """The connection was closed, or notifications do not arrive on it."""


class Listening:
    """Calls `heard` after each notification, and after each connection attempt that succeeds.

    When notifications stop, `lost` is called.
    """

    def __init__(
        self,
        address: Address,
        reader: Reader,
        *,
        heard: Callable[[], None],
        lost: Callable[[], None],
        heartbeat_seconds: float,
    ) -> None:
        self._address = address
        self._reader = reader
        self._heard = heard
        self._lost = lost
        self._heartbeat_seconds = heartbeat_seconds
        self._heartbeat = f"heartbeat_{secrets.token_hex(8)}"
        self._good_until = float("-inf")

    @property
    def listening(self) -> bool:
        """Whether notifications arrive."""
        return time.monotonic() < self._good_until

    async def run(self) -> None:
        """Listen until cancelled."""
        pause, silent = _FIRST_PAUSE, False
        while True:
            try:
                await self._listen()
            except (*ERRORS, _ConnectionLostError) as error:
                if self._stop_listening():
                    pause, silent = _FIRST_PAUSE, False
                if not silent:
                    # Logged once, not for every attempt while the database is gone.
                    logger.warning(
                        "not listening for revocations (%s); polling for them until notifications"
                        " arrive again",
                        error if isinstance(error, _ConnectionLostError) else type(error).__name__,
                    )
                    silent = True
            except Exception:  # no error may end the background task
                logger.exception("unexpected error while listening for revocations; retrying")
            finally:
                self._stop_listening()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _listen(self) -> None:
        """Listen on one connection. Raises an error when it is lost."""
        connection = await self._address.open()
        try:
            closed, arrived = asyncio.Event(), asyncio.Event()
            connection.add_termination_listener(lambda _: closed.set())
            await connection.add_listener(self._heartbeat, lambda *_: arrived.set())
            for channel in CHANNELS:
                await connection.add_listener(channel, lambda *_: self._heard())
            await self._beat(arrived)
            self._heard()  # earlier notifications were missed
            while not await _is_set_within(closed, self._heartbeat_seconds):
                await self._beat(arrived)
            raise _ConnectionLostError("the connection was closed")
        finally:
            connection.terminate()

    async def _beat(self, arrived: asyncio.Event) -> None:
        """Send a heartbeat, and wait until it arrives."""
        arrived.clear()
        await self._reader.fetch(_NOTIFY, self._heartbeat)
        if not await _is_set_within(arrived, ANSWER_SECONDS):
            raise _ConnectionLostError(
                f"a NOTIFY did not arrive within {ANSWER_SECONDS:g} s; the URL must not lead"
                " through a transaction pooler"
            )
        self._good_until = time.monotonic() + self._heartbeat_seconds + ANSWER_SECONDS

    def _stop_listening(self) -> bool:
        """Return whether notifications have arrived until now."""
        listened = self._good_until > float("-inf")
        self._good_until = float("-inf")
        if listened:
            self._lost()
        return listened


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
