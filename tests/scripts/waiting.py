"""Wait for events in other processes, with a deadline, and never for a fixed time."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx

PATIENCE_SECONDS = 60.0


def eventually(condition: Callable[[], bool], *, within: float = PATIENCE_SECONDS) -> bool:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def refused_within_a_second(*asks: Callable[[], int], times: int) -> None:
    """Send each request until it is refused so many times in a row.

    Fail if one that was sent after the first second is accepted. How long the answers take does not
    matter: this machine may be busy.
    """
    deadline = time.monotonic() + 1
    for ask in asks:
        refused = 0
        while refused < times:
            sent = time.monotonic()
            refused = refused + 1 if ask() == httpx.codes.UNAUTHORIZED else 0
            assert refused > 0 or sent < deadline, "accepted after more than a second"


def alive(pid: int) -> bool:
    """Return whether the process runs. A zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
