"""A program of a drill: on a leash, so that it ends with the drills however they end."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from scripts.devstack.leash import leashed
from scripts.operations.private_files import last_line, open_log

_STOP_SECONDS: Final = 30.0
_CHILD_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.01


class Program:
    """A command that runs in a process group of its own. Its output goes to a log."""

    def __init__(
        self, process: asyncio.subprocess.Process, root: psutil.Process, log: Path
    ) -> None:
        self._leash = process
        self._root = root
        self.log = log

    @classmethod
    async def start(
        cls, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
    ) -> "Program":
        """Start the program. Raises `OSError` if it ends at once."""
        output = open_log(log)
        try:
            leash = await asyncio.create_subprocess_exec(
                *leashed(command, grace=_STOP_SECONDS / 2),
                env=env,
                cwd=cwd,
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            os.close(output)
        async with asyncio.timeout(_CHILD_SECONDS):
            while leash.returncode is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    if children := psutil.Process(leash.pid).children():
                        return cls(leash, children[0], log)
                await asyncio.sleep(_POLL_SECONDS)
        raise OSError(f"{command[0]} did not start: {last_line(log)}")

    @property
    def running(self) -> bool:
        """Whether the program has not ended."""
        return self._leash.returncode is None

    @property
    def process(self) -> psutil.Process:
        """The program's first process."""
        return self._root

    def processes(self) -> list[psutil.Process]:
        """Return the program's processes, the first one first."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [self._root, *self._root.children(recursive=True)]
        return []

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the program at once, as systemd does."""
        os.killpg(self._root.pid, number)

    def said(self, text: str) -> int:
        """Return how many lines of the log contain a text."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return sum(text in line for line in lines)

    async def wait(self, seconds: float = _STOP_SECONDS) -> int:
        """Wait for the end, and return the exit code. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            return await self._leash.wait()

    async def stop(self) -> int:
        """Stop the program with SIGTERM and wait for its end. After a grace time it is killed."""
        if self._leash.stdin is not None:
            self._leash.stdin.close()
        return await self.wait()
