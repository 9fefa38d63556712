"""Programs that run side by side in the foreground: started, shown, watched, stopped."""

import asyncio
import contextlib
import os
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.devstack.leash import KILL_AT_ONCE, leashed
from scripts.operations.private_files import open_log

GRACE_SECONDS: Final = 8.0
LAST_LINES: Final = 10
_CHUNK: Final = 65_536
# Colours are fine in a terminal of its own; moving the cursor about in a shared one is not.
_TERMINAL_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Program:
    """What to run, with nothing but this environment."""

    name: str
    command: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    log: Path
    hidden: re.Pattern[str] | None = None
    """Lines that go to the log alone."""


class Child:
    """A running program, on a leash. Its output goes to its log and, with its name, to us."""

    def __init__(
        self, program: Program, process: asyncio.subprocess.Process, *, append: bool
    ) -> None:
        self.name = program.name
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        """What it wrote last, without the hidden lines."""
        self._log = program.log
        self._append = append
        self._hidden = program.hidden
        self._process = process
        self._end = asyncio.ensure_future(self._watch())

    @classmethod
    async def start(
        cls, program: Program, *, held: Sequence[int] = (), append: bool = False
    ) -> "Child":
        """Start the program; the leash also holds the descriptors `held` open.

        Its log is emptied first, unless `append` is set.
        """
        process = await asyncio.create_subprocess_exec(
            *leashed(program.command, grace=GRACE_SECONDS),
            cwd=program.cwd,
            env=program.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            pass_fds=held,
        )
        return cls(program, process, append=append)

    @property
    def last_words(self) -> str:
        """The last line that the program wrote."""
        return next(reversed(self.last_lines), "it said nothing")

    async def wait(self) -> int:
        """Wait for the end of the program and of its output; give its exit code."""
        return await asyncio.shield(self._end)

    async def stop(self) -> None:
        """Ask the program to stop, by letting go of its leash, and wait for its end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self.wait()

    def kill(self) -> None:
        """Have the program killed; do not wait."""
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(KILL_AT_ONCE)
        elif self._process.returncode is None:
            self._process.terminate()

    async def _watch(self) -> int:
        descriptor = open_log(self._log, append=self._append)
        try:
            assert self._process.stdout is not None  # noqa: S101 - asked for above
            await self._copy(self._process.stdout, descriptor)
            return await self._process.wait()
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
        for line in lines:
            text = _TERMINAL_CONTROL.sub("", line.decode("utf-8", "replace")).rstrip()
            if text and not (self._hidden and self._hidden.search(text)):
                self.last_lines.append(text)
                tell(f"{self.name:<7} | {text}")


def tell(line: str) -> None:
    """Write a line for whoever watches; that nobody does any more must not stop the programs."""
    with contextlib.suppress(OSError):
        print(line, flush=True)
