"""A circuit breaker for the shared store of the rate limits.

    closed     requests use the store
    checking   several requests in a row got no answer; a probe asks the store
    open       the probe failed too; it is repeated after a pause until the store answers

Only a closed breaker lets requests use the store, so they never wait for one that hangs. Requests
alone cannot open the breaker: a store is unavailable only if the probe says so, and the probe does
not depend on how busy this process is.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

logger = logging.getLogger("service")

FAILURES: Final = 3
"""How many requests in a row may get no answer before the store is checked."""
PAUSE_SECONDS: Final = 5.0
"""The time between two probes of a store that is unavailable."""


class StoreError(Exception):
    """The store did not answer in time."""


class Breaker:
    """`probe` raises if the store is unavailable. `sleep` waits between two probes."""

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._probe = probe
        self._sleep = sleep
        self.answers = 0
        """How many requests the store has answered."""
        self._failures = 0
        self._check: asyncio.Task[None] | None = None
        self._open = False

    @property
    def closed(self) -> bool:
        """Whether requests use the store."""
        return self._check is None

    @property
    def open(self) -> bool:
        """Whether the store is known to be unavailable."""
        return self._open

    def succeeded(self) -> None:
        """Record that the store answered a request."""
        self.answers += 1
        self._failures = 0

    def failed(self, answers: int) -> None:
        """Record that a request got no answer. Start a check after several in a row.

        `answers` is the number of answers when the request began.
        """
        if answers != self.answers:
            return  # The store answered others meanwhile, so it or this process is only busy.
        self._failures += 1
        if self._failures >= FAILURES and self._check is None:
            self._check = asyncio.create_task(self._until_answered(), name="rate limit store")

    async def close(self) -> None:
        """Stop the check, if one is running."""
        if self._check is not None:
            self._check.cancel()
            await asyncio.wait({self._check})

    async def _until_answered(self) -> None:
        while (error := await self._error()) is not None:
            if not self._open:
                self._open = True
                logger.warning(
                    "the rate limit store is unavailable (%s); each process counts on its own, with"
                    " the same limits, until the store answers; check RATE_LIMIT_STORAGE and the"
                    " server that it names",
                    error,
                )
            await self._sleep(PAUSE_SECONDS)
        if self._open:
            self._open = False
            logger.info("the rate limit store is available again; it is used from now on")
        self._failures, self._check = 0, None

    async def _error(self) -> Exception | None:
        try:
            await self._probe()
        except Exception as error:  # noqa: BLE001 - otherwise the breaker would stay open
            return error
        return None
