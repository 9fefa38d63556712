"""A connection that receives notifications (LISTEN), and reconnects by itself when it is lost.

A transaction pooler cannot LISTEN, so the connection is made to DIRECT_DATABASE_URL.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import asyncpg

from service.database.opening import Opener
from service.database.url import DatabaseUrl

logger = logging.getLogger("service")

_CONNECT_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 15.0
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 10.0


class Listener:
    """Calls `heard` with the channel of each notification.

    After each connection attempt that succeeds, it also calls `heard` once for each channel,
    because notifications may have been missed.
    """

    def __init__(
        self, url: DatabaseUrl, channels: tuple[str, ...], heard: Callable[[str], None]
    ) -> None:
        self._opener = Opener(
            url,
            application="better-auth-resource-server listening",
            prepared_statements=False,
            command_seconds=_CONNECT_SECONDS,
        )
        self._channels = channels
        self._heard = heard
        self.listening = False

    async def run(self) -> None:
        """Listen until cancelled."""
        pause, silent = _FIRST_PAUSE, False
        while True:
            try:
                await self._listen()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                heard_before = self.listening
                self.listening = False
                if heard_before:
                    pause, silent = _FIRST_PAUSE, False
                if not silent:
                    # Logged once, not for every attempt while the database is gone.
                    logger.warning(
                        "not listening for changed keys and revocations (%s); polling for them"
                        " until DIRECT_DATABASE_URL can be reached again",
                        type(error).__name__,
                    )
                    silent = True
            except Exception:  # no error may end the background task
                logger.exception(
                    "unexpected error while listening for changed keys and revocations; retrying"
                )
            finally:
                self.listening = False
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _listen(self) -> None:
        """Listen on one connection. Raises an error when it is lost."""
        connection = await self._opener.open(_CONNECT_SECONDS)
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            for channel in self._channels:
                await connection.add_listener(channel, self._hear)
            self.listening = True
            for channel in self._channels:
                # Earlier notifications were missed.
                self._heard(channel)
            while not lost.is_set():
                # Without a query, a connection that broke silently would look idle for ever.
                await connection.execute("SELECT 1")
                await _wait(lost, _LOOK_SECONDS)
            raise ConnectionResetError("the connection was closed")
        finally:
            connection.terminate()

    def _hear(self, _connection: object, _pid: int, channel: str, _payload: object) -> None:
        self._heard(channel)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
