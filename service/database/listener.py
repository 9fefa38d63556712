"""A connection that hears what is said by NOTIFY, and comes back by itself when it is lost.

A transaction pooler cannot LISTEN: this connection is made to DIRECT_DATABASE_URL.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import asyncpg

from service.database.url import DatabaseUrl

logger = logging.getLogger("service")

_CONNECT_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 15.0
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 10.0


class Listener:
    """Calls `heard` with the channel of each notification.

    Whenever some may have been missed, it is called once for each channel.
    """

    def __init__(
        self, url: DatabaseUrl, channels: tuple[str, ...], heard: Callable[[str], None]
    ) -> None:
        self._url = url
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
                    # Once: with the database gone it would be said every few seconds.
                    logger.warning(
                        "not listening for changes (%s); looking for them from time to time",
                        type(error).__name__,
                    )
                    silent = True
            except Exception:  # the task must outlive whatever a peer can provoke
                logger.exception("listening for changes failed unexpectedly")
            finally:
                self.listening = False
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _listen(self) -> None:
        """Listen on one connection until it is lost; that is an error."""
        connection = await asyncpg.connect(
            self._url.dsn,
            ssl=self._url.ssl_argument(),
            timeout=_CONNECT_SECONDS,
            command_timeout=_CONNECT_SECONDS,
            statement_cache_size=0,
            server_settings={"application_name": "better-auth-resource-server listening"},
        )
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            for channel in self._channels:
                await connection.add_listener(channel, self._hear)
            self.listening = True
            for channel in self._channels:
                # What was said before nobody has heard.
                self._heard(channel)
            while not lost.is_set():
                # A connection that is cut without a word would seem to be silent for ever.
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
