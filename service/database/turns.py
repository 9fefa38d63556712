"""Turns for expensive statements: one at a time for each owner, and a few at a time in all.

A task first waits until no earlier one of the same owner is left, and then for one of `size` turns.
However many statements one owner sends at once, they take one turn, and never one from those who
do not ask for a turn.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


class OwnerBusyError(Exception):
    """Earlier expensive statements of the same owner took too long to wait for."""


@dataclass(slots=True)
class _Queue:
    """The tasks of one owner: the first has the lock, the others wait for it in order."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    tasks: int = 0


class Turns:
    """Up to `size` turns. A task waits up to `wait_seconds` for its owner, then for a turn."""

    def __init__(self, *, size: int, wait_seconds: float) -> None:
        self._turns = asyncio.Semaphore(size)
        self._wait_seconds = wait_seconds
        self._queues: dict[str, _Queue] = {}

    @asynccontextmanager
    async def turn(self, owner_id: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it in the block.

        Raises `OwnerBusyError` where the owner's own statements are in the way, and `TimeoutError`
        where those of others are.
        """
        queue = self._queues.setdefault(owner_id, _Queue())
        queue.tasks += 1
        try:
            await self._become_first(queue)
            try:
                async with asyncio.timeout(self._wait_seconds):
                    await self._turns.acquire()
                try:
                    yield
                finally:
                    self._turns.release()
            finally:
                queue.lock.release()
        finally:
            queue.tasks -= 1
            if queue.tasks == 0:
                del self._queues[owner_id]

    async def _become_first(self, queue: _Queue) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await queue.lock.acquire()
        except TimeoutError:
            raise OwnerBusyError from None
