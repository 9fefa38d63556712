"""`rotate-keys status --watch`: drawn again and again, until it ends."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from better_auth_keys.rotation.store import KeyStoreError
from scripts.operations.rotate_keys.key_file import FileSigningKeys
from scripts.operations.rotate_keys.report import Status
from scripts.operations.rotate_keys.watch import LONGEST, watch
from tests.scripts.operations.rotate_keys.statuses import ESCAPE, status, terminal, without_escapes


class Clock:
    """Time that passes only in `sleep`, ten minutes at a time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds == 2
        self.now += 600


async def test_watch_draws_again_and_ends_after_an_hour(tmp_path: Path) -> None:
    console, screen = terminal(120)
    clock, reads = Clock(), 0

    async def read() -> Status:
        nonlocal reads
        reads += 1
        if reads == 3:
            raise KeyStoreError("cannot reach the database (OSError)")
        return status(tmp_path, warnings=[f"reading {reads}"])

    await watch(read, console, clock=clock, sleep=clock.sleep)
    assert clock.now == LONGEST.total_seconds()
    assert reads == 7
    shown = without_escapes(screen.getvalue())
    assert shown.count("rotate-keys: cannot reach the database (OSError); trying again") == 1
    # The failure stands below what was read last.
    assert [shown.count(f"warning: reading {n}\n") for n in (1, 2, 3, 4)] == [1, 2, 0, 1]
    assert shown.endswith("ended after 1 h: start it again to watch on\n")


async def test_watch_ends_at_once_if_nothing_can_be_read(tmp_path: Path) -> None:
    console, screen = terminal(120)
    del tmp_path

    async def read() -> Status:
        raise KeyStoreError("cannot reach the database (OSError)")

    with pytest.raises(KeyStoreError):
        await watch(read, console)
    assert not screen.getvalue()


def test_ctrl_c_ends_watch_with_the_last_table_and_the_cursor(key_file: FileSigningKeys) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "scripts.operations.rotate_keys.command", "status", "--watch"]
    process = subprocess.Popen(
        [*command, "--file", str(key_file.path)],
        cwd=Path(__file__).resolve().parents[4],
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = ""
    while "(Ctrl-C ends)" not in shown:
        shown += os.read(ours, 4096).decode()
    process.send_signal(signal.SIGINT)
    while True:
        try:
            shown += os.read(ours, 4096).decode()
        except OSError:  # Linux: the program has closed the terminal
            break
    os.close(ours)
    assert process.wait(timeout=30) == 0
    assert "Traceback" not in shown
    assert "interrupted" not in shown
    assert shown.rindex(f"{ESCAPE}[?25h") > shown.rindex(f"{ESCAPE}[?25l")
