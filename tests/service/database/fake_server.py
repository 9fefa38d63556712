"""Connections that do nothing, a server that opens them, and the pool's list of them."""

import asyncio

from service.database.connections import Connections
from tests.simulators.clock import ManualClock

MAX_AGE_SECONDS = 1800.0


class FakeConnection:
    """A connection that does nothing."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = self.agreed = self.silent = False
        self.probes = 0

    async def probe(self) -> None:
        self.probes += 1
        if self.silent:
            raise TimeoutError

    def is_closed(self) -> bool:
        return self.closed

    def terminate(self) -> None:
        self.closed = True

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 - as the driver has it
        assert timeout > 0
        self.closed = self.agreed = True


class Server:
    """Opens connections, numbered from 1. It fails or hangs on demand."""

    def __init__(self) -> None:
        self.opened: list[FakeConnection] = []
        self.fails = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def connect(self) -> FakeConnection:
        await self.answers.wait()
        if self.fails:
            raise ConnectionRefusedError
        self.opened.append(FakeConnection(len(self.opened) + 1))
        return self.opened[-1]


def listed(
    server: Server, size: int, clock: ManualClock | None = None, wait_seconds: float = 5
) -> Connections[FakeConnection]:
    clock = clock or ManualClock()
    return Connections(
        server.connect,
        probe=FakeConnection.probe,
        size=size,
        wait_seconds=wait_seconds,
        open_seconds=5,
        max_age_seconds=MAX_AGE_SECONDS,
        clock=clock.monotonic,
    )


async def settle() -> None:
    """Run every task until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)
