"""A Redis for drills: killed, started again, or made to hang."""

import asyncio
import shutil
import signal
from contextlib import suppress

from scripts.devstack.network import accepts, free_ports
from scripts.proofs.drills.drill import NotRunError
from scripts.proofs.drills.system.program import Program
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.waiting import until


class Redis:
    """A server on a port that it keeps, without persistence."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        [self.port] = free_ports(1)
        self._program: Program | None = None

    @property
    def url(self) -> str:
        """The server's URL, for RATE_LIMIT_STORAGE."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Start the server. Raises `NotRunError` if it is not installed."""
        server = shutil.which("redis-server")
        if server is None:
            raise NotRunError("redis-server is not installed")
        options = {"bind": "127.0.0.1", "port": str(self.port), "save": "", "appendonly": "no"}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._program = await self._stage.start([server, *arguments], {})
        await until(self._accepts, "Redis did not start")

    async def kill(self) -> None:
        """Kill the server."""
        if self._program is not None:
            self._signal(signal.SIGKILL)
            await self._program.wait()

    def hang(self) -> None:
        """Stop the server's process, so that connections stay open and get no answer."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a stopped process continue."""
        self._signal(signal.SIGCONT)

    async def _accepts(self) -> bool:
        return await asyncio.to_thread(accepts, self.port)

    def _signal(self, number: signal.Signals) -> None:
        if self._program is not None:
            with suppress(ProcessLookupError):
                self._program.signal_group(number)
