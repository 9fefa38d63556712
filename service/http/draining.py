"""A stop that loses no request: for a while after SIGTERM the process serves on and says it ends.

A load balancer needs a moment to notice. Until then `/readyz` answers 503 and each answer closes
its connection, so that nobody sends a request into one that is about to go.
"""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Draining:
    """Whether this process is about to stop. `seconds` is how long it says so before it does."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.begun = False

    @contextmanager
    def on_sigterm(self) -> Iterator[None]:
        """Put off what SIGTERM does now; a second one does it at once, and so does SIGINT."""
        stop = signal.getsignal(signal.SIGTERM)
        if self._seconds <= 0 or not callable(stop):
            yield
            return
        loop = asyncio.get_running_loop()

        def begin(number: int, frame: FrameType | None) -> None:
            if self.begun:
                stop(number, frame)
                return
            self.begun = True
            # From the loop: a handler runs between any two instructions of it.
            loop.call_soon_threadsafe(loop.call_later, self._seconds, stop, number, None)

        signal.signal(signal.SIGTERM, begin)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, stop)


class ClosingWhileDraining:
    """Says `Connection: close` with every answer of a process that is about to stop. Pure ASGI."""

    def __init__(self, app: ASGIApp, draining: Draining) -> None:
        self._app = app
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if not self._draining.begun:
            await self._app(scope, receive, send)
            return

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, send_and_close)
