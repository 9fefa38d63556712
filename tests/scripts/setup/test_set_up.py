import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.setup import steps as set_up
from scripts.setup.steps import SetUp, SetUpError, hash_of
from tests.scripts.waiting import PATIENCE_SECONDS

SECOND_START = """
import sys
from pathlib import Path
from scripts.setup.steps import SetUp
with SetUp(Path(sys.argv[1])):
    print("in")
"""


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[SetUp]:
    with SetUp(tmp_path / "home") as steps:
        yield steps


def do(steps: SetUp, stamp: Path, key: str) -> bool:
    with steps.step("something", stamp, key) as due:
        return due


def test_step_that_is_done_is_skipped(
    steps: SetUp, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stamp = tmp_path / "made" / "stamp"
    assert do(steps, stamp, "one")
    assert re.search(r"set-up  something … \d\.\d s\n", capsys.readouterr().err)
    assert not do(steps, stamp, "one")
    assert capsys.readouterr().err == ""


def test_step_is_done_again_when_what_it_depends_on_changes(steps: SetUp, tmp_path: Path) -> None:
    assert do(steps, tmp_path / "stamp", "one")
    assert do(steps, tmp_path / "stamp", "two")
    assert do(steps, tmp_path / "stamp", "one")


def test_step_is_done_again_when_what_it_made_is_removed(steps: SetUp, tmp_path: Path) -> None:
    stamp = tmp_path / "made" / "stamp"
    assert do(steps, stamp, "one")
    stamp.unlink()
    stamp.parent.rmdir()
    assert do(steps, stamp, "one")


def test_interrupted_step_is_done_again_even_with_the_old_key(steps: SetUp, tmp_path: Path) -> None:
    stamp = tmp_path / "stamp"
    assert do(steps, stamp, "one")
    with pytest.raises(KeyboardInterrupt), steps.step("something", stamp, "two"):
        raise KeyboardInterrupt
    assert do(steps, stamp, "one")


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("line\nERROR: Could not find a version\nERROR: No match", "Could not find a version"),
        ("npm error code ENOTFOUND\nnpm error network is down\nnpm error log", "network is down"),
        ("something\nlast words\n\n", "last words"),
        ("", "it wrote nothing"),
    ],
)
def test_failed_program_is_told_with_its_reason_and_its_log(
    steps: SetUp, tmp_path: Path, output: str, reason: str
) -> None:
    program = [sys.executable, "-c", f"print({output!r}, end=''); raise SystemExit(3)"]
    with pytest.raises(SetUpError) as caught:
        steps.run("tool", program)
    log = tmp_path / "home" / "logs" / "tool.log"
    assert str(caught.value) == f"tool failed: {reason} (all of it: {log})"
    assert log.stat().st_mode & 0o777 == 0o600


def runs_until(said: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a program that prints a line, and waits until `said` is written to stderr, or 10 s."""
    seen, write = folder / "seen", sys.stderr.write

    def watched(text: str) -> int:
        if said in text:
            seen.touch()
        return write(text)

    monkeypatch.setattr(sys.stderr, "write", watched)
    waits = f"for i in $(seq 1000); do [ -e {shlex.quote(str(seen))} ] && exit; sleep 0.01; done"
    return ["sh", "-c", f"echo one line; {waits}"]


def test_program_that_takes_long_shows_that_it_goes_on(
    steps: SetUp,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(set_up, "_SIGN_SECONDS", 0.001)
    with steps.task("something"):
        steps.run("tool", runs_until(" s … ", tmp_path, monkeypatch))
    assert re.fullmatch(r"set-up  something … (\d+ s … )+\d+\.\d s\n", capsys.readouterr().err)


def test_terminal_shows_the_last_line_of_a_program_that_takes_long(
    steps: SetUp,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(set_up, "_LIVE_SECONDS", 0.001)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with steps.task("something"):
        steps.run("tool", runs_until("one line", tmp_path, monkeypatch))
    *before, last = capsys.readouterr().err.split("\r\x1b[K")
    assert any(re.fullmatch(r"set-up  something … \d+ s  one line", line) for line in before)
    assert re.fullmatch(r"set-up  something … \d+\.\d s\n", last)


def test_program_that_is_missing_is_told(steps: SetUp) -> None:
    with pytest.raises(SetUpError, match="cannot run /nowhere/tool: No such file or directory"):
        steps.run("tool", ["/nowhere/tool"])


def test_second_start_waits_until_the_first_and_its_programs_have_ended(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with SetUp(home) as first:
        # Like a program that survives its killed set-up: it also holds the lock.
        survivor = subprocess.Popen(
            ["sh", "-c", "read line"], stdin=subprocess.PIPE, pass_fds=(first._lock,)
        )
    second = subprocess.Popen(
        [sys.executable, "-c", SECOND_START, str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert second.stderr is not None
    assert second.stderr.readline() == "set-up  another set-up is running; waiting until it ends\n"
    assert second.poll() is None
    survivor.communicate(b"\n")
    assert second.communicate(timeout=PATIENCE_SECONDS)[0] == "in\n"


def test_programs_of_a_step_hold_the_lock(steps: SetUp, tmp_path: Path) -> None:
    listing = tmp_path / "listing"
    steps.run("ls", ["sh", "-c", f"ls -l /proc/self/fd > {listing}"])
    assert "set-up.lock" in listing.read_text()


def test_hash_tells_contents_apart_and_missing_from_empty(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("ab")
    other.write_text("c")
    first = hash_of(one, other)
    one.write_text("a")
    other.write_text("bc")
    assert hash_of(one, other) != first
    one.write_text("")
    assert hash_of(one) != hash_of(tmp_path / "missing")


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder with some programs, but no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "dirname", "id"):
        found = next(Path(d) / name for d in ("/usr/bin", "/bin") if (Path(d) / name).exists())
        (folder / name).symlink_to(found)
    return folder


@pytest.mark.parametrize("command", ["dev", "test"])
def test_machine_without_python_is_told_in_one_line(bare_path: Path, command: str) -> None:
    script = Path(__file__).parents[3] / "scripts" / command
    result = subprocess.run(
        [script], check=False, capture_output=True, text=True, env={"PATH": str(bare_path)}
    )
    assert result.returncode == 1
    assert result.stderr == (
        f"{command}: no Python 3.11 or newer found: install one, or set PYTHON to one\n"
    )


def test_python_that_was_named_but_does_not_fit_is_told(bare_path: Path) -> None:
    old = bare_path / "old-python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    script = Path(__file__).parents[3] / "scripts" / "dev"
    environment = {"PATH": f"{bare_path}{os.pathsep}{os.environ['PATH']}", "PYTHON": "old-python"}
    result = subprocess.run([script], check=False, capture_output=True, text=True, env=environment)
    assert result.returncode == 1
    assert result.stderr == "dev: PYTHON=old-python is not a Python 3.11 or newer\n"
