"""Keep the parts of a development stack running: restart parts that die or whose code changed.

1. A part that dies is restarted, and one line is shown. If it dies again within a minute, the stack
   stops: another restart would not help, and the part's log shows why.
2. A part whose code changed is restarted. If it then dies before it works, the code is at fault:
   the part is started again at the next change, and the rest of the stack keeps running.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from watchfiles import PythonFilter, awatch

from scripts.devstack.parts import Part, show

AGAIN_SECONDS: Final = 60.0


class PartDiedAgainError(Exception):
    """A part died twice within a minute. The message is one line."""


@dataclass(frozen=True)
class Code:
    """The code of a part: its folders, and a function that waits until the part works."""

    folders: Sequence[Path]
    works: Callable[[], Coroutine[Any, Any, None]]
    changed: asyncio.Queue[Path] = field(default_factory=asyncio.Queue)

    async def follow(self) -> None:
        """Report each change of a Python file, until cancelled."""
        try:
            async for changes in awatch(*self.folders, watch_filter=PythonFilter()):
                self.changed.put_nowait(Path(min(path for _, path in changes)))
        except (OSError, RuntimeError) as error:  # the latter is how watchfiles reports its own
            show(f"dev: cannot watch the code for changes ({error}); restart after a change")


class Keeper:
    """Keeps one part running. The caller follows the changes of its `code`, if it has any."""

    def __init__(
        self, part: Part, code: Code | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._part = part
        self._works = None if code is None else code.works
        self._changes: asyncio.Queue[Path] = code.changed if code else asyncio.Queue()
        self._clock = clock
        self._died_at = float("-inf")

    async def run(self) -> None:
        """Keep it running until cancelled. Raises `PartDiedAgainError`, or as `start` does."""
        proven = True
        while True:
            event = await self._next(proven=proven)
            if isinstance(event, Path):
                proven = False
                await self._reload(event)
            elif event is None:
                proven = True
                show(f"dev: {self._part.name} reloaded")
            elif proven:
                self._count(event)
                await self._part.start()
            else:
                show(f"dev: {self._part.name} {event}; waiting for its code to change")
                await self._reload(await self._changes.get())

    async def _next(self, *, proven: bool) -> Path | str | None:
        """Return the path of changed code, how the part ended, or None if it works."""
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
        show(f"dev: {path.parent.name}/{path.name} changed; reloading the {self._part.name}")
        await self._part.stop()
        while not self._changes.empty():  # the new run includes these changes
            self._changes.get_nowait()
        await self._part.start()

    def _count(self, how: str) -> None:
        """Show that the part died. Raises `PartDiedAgainError` if it is the second time."""
        part, now = self._part, self._clock()
        if now - self._died_at < AGAIN_SECONDS:
            show(f"dev: the last lines of {part.log}:")
            for line in part.last_lines:
                show(f"    {line}")
            raise PartDiedAgainError(
                f"{part.name} {how}, for the second time within a minute, so the stack was stopped"
            )
        self._died_at = now
        show(f"dev: {part.name} {how}; starting it again (log: {part.log})")
