"""Graceful shutdown: keep serving for a while after SIGTERM and report not ready.

Load balancers need a moment to stop sending requests. During that time `/readyz` answers 503, and
every response closes its connection, so that no client reuses one that is about to close.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Draining:
    """Whether the process is shutting down. It keeps serving for `seconds` after SIGTERM."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.begun = False
        self._follow_up: Callable[[], None] = lambda: None

    def then(self, call: Callable[[], None]) -> None:
        """Set what is called, once, when the shutdown begins."""
        self._follow_up = call

    @contextmanager
    def on_sigterm(self) -> Iterator[None]:
        """Delay the effect of SIGTERM. A second SIGTERM, or SIGINT, takes effect at once."""
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
            loop.call_soon_threadsafe(self._follow_up)
            # Scheduled from the loop, because a signal handler can interrupt the loop's own code.
            loop.call_soon_threadsafe(loop.call_later, self._seconds, stop, number, None)

        signal.signal(signal.SIGTERM, begin)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, stop)
