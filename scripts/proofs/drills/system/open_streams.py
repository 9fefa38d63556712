"""Streams that stay open during a drill, as those of people who only look at their tasks."""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from scripts.proofs.drills.system.stream import open_stream

_FOR_EACH_USER: Final = 10
"""The default of MAX_EVENT_STREAMS_PER_USER."""
_PAUSE_SECONDS: Final = 2.0
_OPEN_SECONDS: Final = 20.0


class OpenStreams:
    """Keeps `number` streams open on each service of a drill.

    When a stream ends or is refused, its client connects again after a pause.
    """

    def __init__(self, number: int, token: Callable[[str], str]) -> None:
        self._number, self._token = number, token
        self.settings: Mapping[str, str] = {"TASK_EVENTS": "true"} if number else {}
        """What a service needs for them."""
        self._services: dict[int, _Clients] = {}

    def open(self, port: int) -> None:
        """Open streams on a service, unless it was started again on its port."""
        if self._number and port not in self._services:
            self._services[port] = _Clients(port, self._number, self._token)

    async def until_open(self, port: int) -> None:
        """Wait until all streams of a service are open, but not for ever."""
        if port in self._services:
            with suppress(TimeoutError):
                async with asyncio.timeout(_OPEN_SECONDS):
                    await self._services[port].all_open.wait()

    async def close(self, port: int) -> None:
        """Close the streams of a service."""
        if port in self._services:
            await self._services[port].close()

    async def end(self) -> list[str]:
        """Close all streams, and return what there was of them since the last call, for people."""
        clients = [*self._services.values()]
        self._services.clear()
        for each in clients:
            await each.close()
        return [f"up to {each.most} streams open, {each.opened} opened" for each in clients]


class _Clients:
    """The clients of one service."""

    def __init__(self, port: int, number: int, token: Callable[[str], str]) -> None:
        self._port, self._token = port, token
        self._number = number
        self._open = self.most = self.opened = 0
        self.all_open = asyncio.Event()
        self._lives = [asyncio.create_task(self._live(each)) for each in range(number)]

    async def close(self) -> None:
        for life in self._lives:
            life.cancel()
        await asyncio.gather(*self._lives, return_exceptions=True)

    async def _live(self, number: int) -> None:
        user = f"user-who-looks-{number // _FOR_EACH_USER}"
        address = f"127.0.0.{2 + number % 250}"
        while True:
            await asyncio.sleep(random.uniform(0, 2 * _PAUSE_SECONDS))  # noqa: S311 - no secret
            try:
                stream = await open_stream(self._port, self._token(user), _ignore, address=address)
            except (OSError, TimeoutError):
                continue
            try:
                if stream.status == HTTPStatus.OK:
                    self.opened += 1
                    self._open += 1
                    self.most = max(self.most, self._open)
                    if self._open == self._number:
                        self.all_open.set()
                    await stream.ended
                    self._open -= 1
            finally:
                stream.close()


def _ignore(_event: object) -> None:
    """Do nothing with an event."""
