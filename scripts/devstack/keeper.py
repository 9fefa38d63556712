"""Keep the parts of a development stack running: start what died again, reload what changed.

1. A part that died is started again, with one line. One that dies again within a minute ends the
   stack: what does not run twice will not run the third time, and its log says why.
2. A part whose code changed is stopped and started. If it then dies before it works, the code is at
   fault: it is started again at the next change, and the stack goes on meanwhile.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from watchfiles import PythonFilter, awatch

from scripts.devstack.parts import Part
from scripts.devstack.supervisor import tell

AGAIN_SECONDS: Final = 60.0


class PartDiedAgainError(Exception):
    """A part died twice within a minute; the message is one line."""


@dataclass(frozen=True)
class Code:
    """The code that a part runs: its folders, and how to wait until the part works with it."""

    folders: Sequence[Path]
    works: Callable[[], Coroutine[Any, Any, None]]
    changed: asyncio.Queue[Path] = field(default_factory=asyncio.Queue)

    async def follow(self) -> None:
        """Report each change of a Python file, until cancelled."""
        try:
            async for changes in awatch(*self.folders, watch_filter=PythonFilter()):
                self.changed.put_nowait(Path(min(path for _, path in changes)))
        except (OSError, RuntimeError) as error:  # the latter is how watchfiles reports its own
            tell(f"dev: changes of the code are not noticed ({error}); restart to run them")


class Keeper:
    """Keeps one part running. Its `code`, if it has any, is followed by the caller."""

    def __init__(
        self, part: Part, code: Code | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._part = part
        self._works = None if code is None else code.works
        self._changes: asyncio.Queue[Path] = code.changed if code else asyncio.Queue()
        self._clock = clock
        self._died_at = float("-inf")

    async def run(self) -> None:
        """Keep it running until cancelled. Raises `PartDiedAgainError`, and as its start does."""
        proven = True
        while True:
            event = await self._next(proven=proven)
            if isinstance(event, Path):
                proven = False
                await self._reload(event)
            elif event is None:
                proven = True
                tell(f"dev: {self._part.name} reloaded")
            elif proven:
                self._count(event)
                await self._part.start()
            else:
                tell(f"dev: {self._part.name} {event}; waiting for its code to change")
                await self._reload(await self._changes.get())

    async def _next(self, *, proven: bool) -> Path | str | None:
        """Wait for a change of the code (its path), the part's end (how), or that it works."""
        end = asyncio.ensure_future(self._part.wait())
        change = asyncio.ensure_future(self._changes.get())
        waited: list[asyncio.Future[Any]] = [change, end]
        if self._works is not None and not proven:
            waited.append(asyncio.ensure_future(self._works()))
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if change.done():
                return change.result()
            return end.result() if end.done() else None
        finally:
            for future in waited:
                future.cancel()

    async def _reload(self, path: Path) -> None:
        tell(f"dev: {path.parent.name}/{path.name} changed; reloading the {self._part.name}")
        await self._part.stop()
        while not self._changes.empty():  # the new run has these as well
            self._changes.get_nowait()
        await self._part.start()

    def _count(self, how: str) -> None:
        """Say that the part died. Raises `PartDiedAgainError` if it did so a moment ago."""
        part, now = self._part, self._clock()
        if now - self._died_at < AGAIN_SECONDS:
            tell(f"dev: the last lines of {part.log}:")
            for line in part.last_lines:
                tell(f"    {line}")
            raise PartDiedAgainError(
                f"{part.name} {how}, for the second time within a minute; the stack was stopped"
            )
        self._died_at = now
        tell(f"dev: {part.name} {how}; starting it again (log: {part.log})")
