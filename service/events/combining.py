"""`Combining`: send a user's changes on the user's streams in few writes.

A write takes about 6 us for each stream, nearly all of it in the kernel. A user with hundreds of
streams and many changes would keep the whole process busy. So after a write, further changes of the
same user wait for `COMBINE_SECONDS`, and are then sent together. The first one does not wait.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

COMBINE_SECONDS: Final = 0.05
Change: TypeAlias = tuple[str, str]
"""The id and the new version of a task."""


class Combining:
    """Calls `send` with the tag of an owner, and with the owner's changes in their order."""

    def __init__(self, send: Callable[[str, Sequence[Change]], None]) -> None:
        self._send = send
        self._waiting: dict[str, list[Change]] = {}

    def add(self, tag: str, change: Change) -> None:
        """Send a change now if nothing was sent for this owner lately, else a little later."""
        waiting = self._waiting.get(tag)
        if waiting is None:
            self._send_now(tag, [change])
        else:
            waiting.append(change)

    def _send_now(self, tag: str, changes: Sequence[Change]) -> None:
        self._waiting[tag] = []
        asyncio.get_running_loop().call_later(COMBINE_SECONDS, self._send_waiting, tag)
        self._send(tag, changes)

    def _send_waiting(self, tag: str) -> None:
        if waiting := self._waiting.pop(tag):
            self._send_now(tag, waiting)
