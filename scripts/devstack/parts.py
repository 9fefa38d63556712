"""What a development stack is made of: programs and a database server that can be started again."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from scripts.devstack.postgres.embedded import EmbeddedPostgres, PostgresError
from scripts.devstack.supervisor import LAST_LINES, Child, Program
from scripts.operations.private_files import last_lines


class Part(Protocol):
    """A part of the stack. Stopping one that has ended is fine."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def log(self) -> Path:
        """Where the output of its last run is."""

    @property
    def last_lines(self) -> Sequence[str]:
        """The last lines that it wrote."""

    async def start(self) -> None:
        """Start it, or start it again after it has ended."""

    async def wait(self) -> str:
        """Wait until it has ended, and return how."""

    async def stop(self) -> None:
        """Stop it and wait for its end."""

    def kill(self) -> None:
        """Kill it without waiting."""


class ProgramPart:
    """A program on a leash; all of its runs write to one log."""

    def __init__(self, program: Program, *, held: Sequence[int]) -> None:
        self.name = program.name
        self.log = program.log
        self._program = program
        self._held = held
        self._child: Child | None = None

    @property
    def last_lines(self) -> Sequence[str]:
        """The last lines that it wrote."""
        return self._child.last_lines if self._child else ()

    async def start(self) -> None:
        """Start it; the log of an earlier run is kept."""
        again = self._child is not None
        self._child = await Child.start(self._program, held=self._held, append=again)

    async def wait(self) -> str:
        """Wait until it has ended, and return its exit code in words."""
        assert self._child is not None  # noqa: S101 - started before it is waited for
        return f"ended with exit code {await self._child.wait()}"

    async def stop(self) -> None:
        """Stop it and wait for its end."""
        if self._child is not None:
            await self._child.stop()

    def kill(self) -> None:
        """Kill it without waiting."""
        if self._child is not None:
            self._child.kill()


class PostgresPart:
    """The embedded database server. It keeps its port: the others have URLs with it."""

    name = "database"

    def __init__(self, server: EmbeddedPostgres, log: Path) -> None:
        self.log = log
        self._server = server
        self._port = 0
        self._end: asyncio.Future[None] | None = None

    @property
    def last_lines(self) -> Sequence[str]:
        """The last lines that it wrote."""
        return last_lines(self.log, LAST_LINES)

    async def start(self) -> None:
        """Start it. Raises `PostgresError`."""
        starting = asyncio.ensure_future(asyncio.to_thread(self._server.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait({starting})  # a thread cannot be cancelled, only awaited
            raise
        self._end = asyncio.ensure_future(asyncio.to_thread(self._server.wait))
        if self._port not in {0, self._server.port}:
            raise PostgresError(f"port {self._port} of the database was taken while it was down")
        self._port = self._server.port

    async def wait(self) -> str:
        """Wait until it has ended; its exit code says nothing that its log does not."""
        assert self._end is not None  # noqa: S101 - started before it is waited for
        await asyncio.shield(self._end)
        return "ended"

    async def stop(self) -> None:
        """Stop it and wait for its end."""
        await asyncio.to_thread(self._server.stop)

    def kill(self) -> None:
        """Kill it without waiting."""
        self._server.kill()
