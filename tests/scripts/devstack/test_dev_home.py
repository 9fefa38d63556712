import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.devstack import home as dev_home
from scripts.devstack.home import DevHome, HomeError

HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def leftover(tmp_path: Path) -> subprocess.Popen[str]:
    """A program that a killed stack left behind on this folder, and that holds its lock."""
    (tmp_path / "programs.lock").touch()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "programs.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_start_waits_for_what_a_dead_stack_has_left(
    tmp_path: Path, leftover: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def let_it_end(seconds: float) -> None:
        waited.append(seconds)
        leftover.communicate("end\n")

    monkeypatch.setattr(time, "sleep", let_it_end)
    home = DevHome(tmp_path)
    home.acquire()
    assert len(waited) == 1
    assert (tmp_path / "lock").read_text() == str(os.getpid())
    home.release()


def test_what_a_dead_stack_has_left_for_good_is_told(
    tmp_path: Path, leftover: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev_home, "LEFTOVER_SECONDS", 0.0)
    home = DevHome(tmp_path)
    with pytest.raises(HomeError, match=r"programs of an earlier run on .* did not end"):
        home.acquire()
    home.release()
    leftover.communicate("end\n")


def test_new_folder_lists_to_nobody_else(tmp_path: Path) -> None:
    home = DevHome(tmp_path / "home")
    home.acquire()
    home.release()
    assert home.folder.stat().st_mode & 0o066 == 0
    assert (home.folder / "lock").stat().st_mode & 0o777 == 0o600


def test_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir(mode=0o750)
    mode = folder.stat().st_mode
    home = DevHome(folder)
    home.acquire()
    home.release()
    assert folder.stat().st_mode == mode
