"""What a test server receives and answers."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field


class Gate:
    """Holds replies back until it is opened. It may be opened from any thread."""

    def __init__(self) -> None:
        self._opened: Future[None] = Future()

    def open(self) -> None:
        """Send the replies that are held back, and all later ones."""
        if not self._opened.done():
            self._opened.set_result(None)

    async def passed(self) -> None:
        """Wait until the gate is open."""
        # Shielded, because a cancelled waiter must not cancel the future of the other waiters.
        await asyncio.shield(asyncio.wrap_future(self._opened))


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was received. Names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True)
class Reply:
    """A reply: its status, headers and body, and how it is sent."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0
    """Seconds to wait before anything is sent."""
    gate: Gate | None = None
    """If given, nothing is sent before it is open."""
    dropped: bool = False
    """Close the connection without a reply."""
    trickle: bool = False
    """Send the body byte by byte, without end."""

    async def due(self) -> None:
        """Wait until the reply may be sent."""
        if self.delay:
            await asyncio.sleep(self.delay)
        if self.gate is not None:
            await self.gate.passed()
