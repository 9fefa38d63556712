import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.devstack.leash import CANNOT_START, kill_at_once, leashed
from tests.scripts.waiting import PATIENCE_SECONDS, alive, eventually

# Both processes of the group print their ids and keep running.
FAMILY = "sleep 300 & echo $! $$; wait"
DEAF = "trap '' TERM; echo ready; while :; do sleep 0.01; done"
STARTER = """
import subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)
process.wait()
"""


def start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )


def first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def finish(process: subprocess.Popen[bytes]) -> int:
    """Wait until the process has ended, and close our ends of the pipes."""
    try:
        return process.wait(PATIENCE_SECONDS)
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def let_go(process: subprocess.Popen[bytes]) -> int:
    assert process.stdin is not None
    process.stdin.close()
    return finish(process)


def test_starter_killed_ends_the_whole_group() -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, *leashed(["sh", "-c", FAMILY])], stdout=subprocess.PIPE
    )
    family = [int(pid) for pid in first_line(starter).split()]
    assert all(alive(pid) for pid in family)
    starter.kill()
    assert eventually(lambda: not any(alive(pid) for pid in family))
    finish(starter)


def test_leash_let_go_stops_the_program() -> None:
    process = start(leashed(["sh", "-c", FAMILY]))
    family = [int(pid) for pid in first_line(process).split()]
    assert let_go(process) == 128 + signal.SIGTERM
    assert not any(alive(pid) for pid in family)


def test_stop_signal_is_the_one_asked_for() -> None:
    script = "trap 'exit 42' INT; echo ready; while :; do sleep 0.01; done"
    process = start(leashed(["sh", "-c", script], stop_signal=signal.SIGINT))
    first_line(process)
    assert let_go(process) == 42


def test_program_deaf_to_the_stop_signal_is_killed_after_the_grace_time() -> None:
    process = start(leashed(["sh", "-c", DEAF], grace=0.05))
    first_line(process)
    assert let_go(process) == 128 + signal.SIGKILL


def test_deaf_program_is_killed_at_once_when_asked() -> None:
    process = start(leashed(["sh", "-c", DEAF], grace=300))
    first_line(process)
    kill_at_once(process)
    assert finish(process) == 128 + signal.SIGKILL


def test_second_request_while_stopping_kills_at_once() -> None:
    script = "trap 'echo stopping' TERM; echo ready; while :; do sleep 0.01; done"
    process = start(leashed(["sh", "-c", script], grace=300))
    first_line(process)
    process.terminate()
    assert first_line(process) == "stopping"
    process.terminate()
    assert let_go(process) == 128 + signal.SIGKILL


@pytest.mark.parametrize("code", [0, 7])
def test_program_that_ends_by_itself_passes_on_its_exit_code(code: int) -> None:
    process = start(leashed(["sh", "-c", f"exit {code}"]))
    assert finish(process) == code


def test_program_killed_by_another_gives_its_signal() -> None:
    process = start(leashed(["sh", "-c", "kill -9 $$"]))
    assert finish(process) == 128 + signal.SIGKILL


def test_unknown_program_gives_one_line() -> None:
    result = subprocess.run(
        leashed(["/nowhere/program"]), check=False, capture_output=True, text=True
    )
    assert result.returncode == CANNOT_START
    assert result.stderr == "cannot start /nowhere/program: No such file or directory\n"


def test_program_that_ends_leaves_nobody_of_its_group() -> None:
    process = start(leashed(["sh", "-c", "sleep 300 >/dev/null & echo $!"]))
    straggler = int(first_line(process))
    assert finish(process) == 0
    assert eventually(lambda: not alive(straggler))


def test_folder_goes_with_a_program_that_the_leash_ended(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    process = start(leashed(["sh", "-c", FAMILY], remove=folder))
    first_line(process)
    let_go(process)
    assert not folder.exists()


def test_folder_stays_when_the_program_ends_by_itself(tmp_path: Path) -> None:
    process = start(leashed(["true"], remove=tmp_path))
    assert finish(process) == 0
    assert tmp_path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop to another account")
def test_account_is_the_one_asked_for_without_any_group_of_ours() -> None:
    process = start(leashed(["id"], account=(65_534, 65_534)))
    words = first_line(process)
    finish(process)
    assert "uid=65534" in words
    assert "(root)" not in words
