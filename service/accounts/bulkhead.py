"""`Bulkhead`: limit the concurrent calls of each operation, so that a slow one delays no other."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.accounts.errors import IssuerUnavailableError


class Bulkhead:
    """Slots for concurrent calls: `slots` for each operation, and room for `waiting` more calls."""

    def __init__(self, *, slots: int, waiting: int) -> None:
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(slots)
        )
        self._calls: Counter[str] = Counter()
        self._most = slots + waiting

    @asynccontextmanager
    async def slot(self, operation: str) -> AsyncIterator[None]:
        """Hold a slot of an operation. The caller bounds how long it waits for one.

        Raises `IssuerUnavailableError` if too many calls are waiting already.
        """
        if self._calls[operation] >= self._most:
            raise IssuerUnavailableError(f"{operation}: too many calls are waiting")
        self._calls[operation] += 1
        try:
            async with self._slots[operation]:
                yield
        finally:
            self._calls[operation] -= 1
