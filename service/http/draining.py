"""Graceful shutdown: keep serving for a while after SIGTERM, and report not ready.

A load balancer needs a moment to notice. Until then `/readyz` answers 503 and every answer closes
its connection, so that clients do not send a request into one that is about to close.
"""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Draining:
    """Whether this process is about to stop. `seconds` is how long it keeps serving."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.begun = False

    @contextmanager
    def on_sigterm(self) -> Iterator[None]:
        """Delay what SIGTERM does now; a second one does it at once, and so does SIGINT."""
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
