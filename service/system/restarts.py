"""Decide when a worker process that ended is started again."""

from typing import Final

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""A worker that ran for so many seconds is started again without a pause."""


class Restarts:
    """The restarts of one worker. All times are in seconds, on one clock.

    The first restart has no pause. After that the pauses double from `FIRST_PAUSE` to
    `LONGEST_PAUSE`, until a worker has run for `STEADY_SECONDS`.
    """

    def __init__(self, now: float, *, due_at: float | None = None) -> None:
        self._pause = 0.0
        self._started_at = now
        self.due_at = due_at
        """When to start a worker; None while one runs."""
        self.served = False
        """Whether the worker that runs has started completely."""
        self.failing = False
        """Whether the previous worker ended before it had started, as the new one may."""

    def is_due(self, now: float) -> bool:
        """Return whether to start a worker now."""
        return self.due_at is not None and self.due_at <= now

    def start(self, now: float) -> None:
        """Record that a worker was started."""
        self._started_at = now
        self.due_at = None
        self.served = False

    def serve(self) -> None:
        """Record that the worker has started completely."""
        self.served = True
        self.failing = False

    def end(self, now: float) -> float:
        """Record that the worker ended, and return the pause before the next one."""
        if now - self._started_at >= STEADY_SECONDS:
            self._pause = 0.0
        self.failing = not self.served
        pause = self._pause
        self._pause = min(max(FIRST_PAUSE, 2 * pause), LONGEST_PAUSE)
        self.due_at = now + pause
        return pause
