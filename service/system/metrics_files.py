"""The folder in which worker processes share their metrics.

Each process has files there, named by its pid. The folder is locked while the parent runs, so that
the next start finds the folders of parents that were killed.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
PREFIX: Final = "better-auth-resource-server-metrics-"


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Create the folder, and remove it at the end. Also remove folders of parents that were killed.

    Workers read its name when they import the client library, so it is set before they start.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        _remove_if_left(left)
    folder, lock = _create_locked()
    try:
        os.environ[FOLDER] = str(folder)
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def forget_process(pid: int, *, served: bool) -> None:
    """Remove the gauges of a process that ended.

    If it `served`, its counters stay, because a sum must not fall.
    """
    # Imported when a worker ends, because few parents need it and it takes memory.
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - see above

    mark_process_dead(pid)  # type: ignore[no-untyped-call] # it has no annotations
    if not served:
        for left in Path(os.environ[FOLDER]).glob(f"*_{pid}.db"):
            left.unlink()


def _create_locked() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)  # another start removed it before it was locked


def _remove_if_left(folder: Path) -> None:
    # A folder of another user cannot be opened; that of a running parent cannot be locked.
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        finally:
            os.close(lock)
