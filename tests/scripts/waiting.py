"""Wait for events in other processes, with a deadline, and never for a fixed time."""

import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_SECONDS = 15.0


def eventually(condition: Callable[[], bool], *, within: float = PATIENCE_SECONDS) -> bool:
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    """Return whether the process runs. A zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
