"""A program of the stack that can be stopped, killed, paused, and restarted with other settings."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from scripts.operations.private_files import last_line
from scripts.proofs.drills.system.program import Program

_READY_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05


class ServerError(Exception):
    """A program of the stack did not start. The message is one line."""


@dataclass
class Server:
    """One program. It keeps its port and its settings when it is restarted."""

    name: str
    command: Sequence[str]
    cwd: Path
    environment: Mapping[str, str] = field(repr=False)
    logs: Path
    answers: Callable[[], Awaitable[None]]
    """Waits until the program answers."""
    _program: Program | None = None
    _starts: int = field(default=0)

    async def start(self, **settings: str) -> None:
        """Start the program, with other settings for this run, and wait until it answers.

        Raises `ServerError`.
        """
        self._starts += 1
        log = self.logs / f"{self.name}-{self._starts}.log"
        environment = {**self.environment, **settings}
        program = await Program.start(self.command, env=environment, cwd=self.cwd, log=log)
        self._program = program
        answer = asyncio.ensure_future(self.answers())
        end = asyncio.ensure_future(program.wait(_READY_SECONDS))
        try:
            await asyncio.wait({answer, end}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise ServerError(f"{self.name} did not start: {last_line(log)} (all: {log})")
            answer.result()
        finally:
            for each in (answer, end):
                each.cancel()
            await asyncio.gather(answer, end, return_exceptions=True)

    async def stop(self) -> None:
        """Stop the program with SIGTERM and wait until it has ended."""
        if self._program is not None:
            self.resume()
            await self._program.stop()
            self._program = None

    async def kill(self) -> None:
        """Kill the program and wait until it has ended."""
        if self._program is not None:
            self._program.signal_group(signal.SIGKILL)
            await self._program.wait()
            self._program = None

    async def restart(self, **settings: str) -> None:
        """Stop the program, and start it with other settings. Raises `ServerError`."""
        await self.stop()
        await self.start(**settings)

    @asynccontextmanager
    async def restarted_with(self, **settings: str) -> AsyncIterator[None]:
        """Run the program with other settings until the block ends. Raises `ServerError`."""
        await self.restart(**settings)
        try:
            yield
        finally:
            await self.restart()

    @asynccontextmanager
    async def stopped(self) -> AsyncIterator[None]:
        """Stop the program until the block ends. Connections are refused meanwhile."""
        await self.stop()
        try:
            yield
        finally:
            await self.start()

    def pause(self) -> None:
        """Make the program hang: it accepts connections, and answers nothing."""
        if self._program is not None:
            self._program.signal_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue a paused program. One that runs is not affected."""
        if self._program is not None and self._program.running:
            self._program.signal_group(signal.SIGCONT)

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Make the program hang until the block ends."""
        self.pause()
        try:
            yield
        finally:
            self.resume()
