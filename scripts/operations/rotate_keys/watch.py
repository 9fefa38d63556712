"""`rotate-keys status --watch`: the table, drawn again every two seconds until Ctrl-C."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from better_auth_keys import SigningKeyError
from scripts.operations.rotate_keys.report import Status
from scripts.operations.rotate_keys.table import table, warnings
from service.settings.durations import brief

LONGEST: Final = timedelta(hours=1)
"""A forgotten terminal must not query the database and the issuer for days."""
_PAUSE_SECONDS: Final = 2.0


async def watch(
    read: Callable[[], Awaitable[Status]],
    console: Console,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Draw the status until the task is cancelled, for `LONGEST` at most.

    Raises `SigningKeyError` if the status cannot be read at first. Later failures are shown, and
    the status is read again.
    """
    ends = clock() + LONGEST.total_seconds()
    seen = await read()
    view = _view(seen, console)
    # The last table stays on the terminal. While it is drawn, lines that do not fit are left out.
    with Live(view, console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while clock() < ends:
            await sleep(_PAUSE_SECONDS)
            try:
                seen = await read()
                view = _view(seen, console)
            except SigningKeyError as error:
                failed = Text(f"rotate-keys: {error}; trying again", "bold red")
                view = Group(_view(seen, console), failed)
            live.update(view, refresh=True)
    console.print(f"ended after {brief(LONGEST)}: start it again to watch on")


def _view(status: Status, console: Console) -> Group:
    as_of = Text(f"{status.now:%Y-%m-%d %H:%M:%S} UTC (Ctrl-C ends)", "dim")
    return Group(table(status, console.width), *warnings(status), as_of)
