"""The parts of a development stack: programs and a database server, started, shown and stopped."""

import asyncio
import contextlib
import os
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from scripts.devstack.leash import KILL_AT_ONCE, leashed
from scripts.devstack.postgres.embedded import EmbeddedPostgres, PostgresError
from scripts.operations.private_files import last_lines, open_log

GRACE_SECONDS: Final = 8.0
LAST_LINES: Final = 10
_CHUNK: Final = 65_536
# Cursor movements would garble the terminal that all parts share.
_TERMINAL_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Part(Protocol):
    """A part of the stack. Stopping a part that has ended is allowed."""

    @property
    def name(self) -> str:
        """The name for messages."""

    @property
    def log(self) -> Path:
        """The log of its last run."""

    @property
    def last_lines(self) -> Sequence[str]:
        """The last lines that it wrote."""

    async def start(self) -> None:
        """Start it, or restart it after it has ended."""

    async def wait(self) -> str:
        """Wait until it has ended, and return how it ended."""

    async def stop(self) -> None:
        """Stop it and wait until it has ended."""

    def kill(self) -> None:
        """Kill it without waiting."""


@dataclass(frozen=True)
class Program:
    """A command, and its environment (nothing is inherited)."""

    name: str
    command: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    log: Path
    hidden: re.Pattern[str] | None = None
    """Lines that are written to the log but not shown."""


class ProgramPart:
    """A program on a leash. Its output is logged and shown with its name.

    The leash also keeps the descriptors `held` open. A restart appends to the log.
    """

    def __init__(self, program: Program, *, held: Sequence[int] = ()) -> None:
        self.name = program.name
        self.log = program.log
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        """The last lines that it wrote, without the hidden ones."""
        self._program = program
        self._held = held
        self._process: asyncio.subprocess.Process | None = None
        self._end: asyncio.Future[int] | None = None

    @property
    def last_words(self) -> str:
        """The last line that the program wrote."""
        return next(reversed(self.last_lines), "it wrote nothing")

    async def start(self) -> None:
        """Start the program, or restart it after it has ended."""
        append = self._process is not None
        self.last_lines.clear()
        self._process = await asyncio.create_subprocess_exec(
            *leashed(self._program.command, grace=GRACE_SECONDS),
            cwd=self._program.cwd,
            env=self._program.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            pass_fds=self._held,
        )
        self._end = asyncio.ensure_future(self._watch(self._process, append=append))

    async def wait(self) -> str:
        """Wait for the end of the program and of its output, and return its exit code in words."""
        assert self._end is not None  # noqa: S101 - started before it is waited for
        return f"ended with exit code {await asyncio.shield(self._end)}"

    async def stop(self) -> None:
        """Stop the program by releasing its leash, and wait until it has ended."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self.wait()

    def kill(self) -> None:
        """Kill the program without waiting."""
        if self._process is None:
            return
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(KILL_AT_ONCE)
        elif self._process.returncode is None:
            self._process.terminate()

    async def _watch(self, process: asyncio.subprocess.Process, *, append: bool) -> int:
        descriptor = open_log(self.log, append=append)
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            await self._copy(process.stdout, descriptor)
            return await process.wait()
        finally:
            os.close(descriptor)

    async def _copy(self, output: asyncio.StreamReader, descriptor: int) -> None:
        rest = b""
        while chunk := await output.read(_CHUNK):
            os.write(descriptor, chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _CHUNK:
                lines, rest = [*lines, rest], b""
            self._show(lines)
        self._show([rest])

    def _show(self, lines: Sequence[bytes]) -> None:
        hidden = self._program.hidden
        for line in lines:
            text = _TERMINAL_CONTROL.sub("", line.decode("utf-8", "replace")).rstrip()
            if text and not (hidden and hidden.search(text)):
                self.last_lines.append(text)
                show(f"{self.name:<7} | {text}")


class PostgresPart:
    """The embedded database server. It keeps its port, which is in the URLs of other parts."""

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
            await asyncio.wait({starting})  # a thread cannot be cancelled
            raise
        self._end = asyncio.ensure_future(asyncio.to_thread(self._server.wait))
        if self._port not in {0, self._server.port}:
            raise PostgresError(
                f"port {self._port} of the database was taken while it was down; start again"
            )
        self._port = self._server.port

    async def wait(self) -> str:
        """Wait until it has ended. Its log says more than its exit code."""
        assert self._end is not None  # noqa: S101 - started before it is waited for
        await asyncio.shield(self._end)
        return "ended"

    async def stop(self) -> None:
        """Stop it and wait until it has ended."""
        await asyncio.to_thread(self._server.stop)

    def kill(self) -> None:
        """Kill it without waiting."""
        self._server.kill()


def show(line: str) -> None:
    """Print a line. The programs keep running if the terminal is gone."""
    with contextlib.suppress(OSError):
        print(line, flush=True)
