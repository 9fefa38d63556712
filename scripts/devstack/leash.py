"""Run a program on a leash: it is stopped when the process that started it ends.

    python -I -S leash.py [options] -- program argument...

The standard input is the leash: a pipe whose other end only the starting process holds. The system
closes it even if that process is killed with SIGKILL. At end of file, or on SIGTERM, SIGINT or
SIGHUP, the program's process group gets the stop signal and, after the grace time, SIGKILL. A `!`
on the leash, or a second signal, kills the group at once. The exit code is the program's, 128 +
signal, or 127 if it could not be started. Standard library only, so that it starts in milliseconds.
"""

import argparse
import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

CANNOT_START: Final = 127
KILL_AT_ONCE: Final = b"!"
_ASKED_TO_STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


def leashed(
    program: Sequence[str | os.PathLike[str]],
    *,
    stop_signal: signal.Signals = signal.SIGTERM,
    grace: float = 5.0,
    remove: Path | None = None,
    account: tuple[int, int] | None = None,
) -> list[str]:
    """Return a command that runs `program` on a leash; start it with `stdin=PIPE` in a new session.

    `remove` is a folder to delete when the leash stops the program (not when it ends by itself or
    is killed at once). `account` is the (uid, gid) to run it as, which only root can set.
    """
    options = [f"--signal={stop_signal.name}", f"--grace={grace}"]
    if remove is not None:
        options.append(f"--remove={remove}")
    if account is not None:
        options.append(f"--account={account[0]}:{account[1]}")
    own = [sys.executable, "-I", "-S", __file__]
    return [*own, *options, "--", *(os.fspath(part) for part in program)]


def kill_at_once(leash: subprocess.Popen[bytes]) -> None:
    """Kill the program on a leash, with its process group, and wait until it has ended."""
    if leash.stdin is None or leash.stdin.closed:
        leash.terminate()
    else:
        with contextlib.suppress(BrokenPipeError):
            leash.stdin.write(KILL_AT_ONCE)
            leash.stdin.close()
    leash.wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program until it or the leash ends, and return the exit code."""
    parser = argparse.ArgumentParser("leash", description=__doc__.partition("\n")[0])
    parser.add_argument("--signal", default="SIGTERM")
    parser.add_argument("--grace", type=float, default=5.0)
    parser.add_argument("--remove", type=Path)
    parser.add_argument("--account")
    parser.add_argument("program", nargs="+")
    options = parser.parse_args(argv)
    waker = _wake_on_signals()
    try:
        child = _start(options.program, options.account)
    except OSError as error:
        sys.stderr.write(f"cannot start {options.program[0]}: {error.strerror}\n")
        return CANNOT_START
    stopped = _hold(child, waker, signal.Signals[options.signal], options.grace)
    _signal_group(child, signal.SIGKILL)  # processes that the program left behind
    if stopped and options.remove is not None:
        shutil.rmtree(options.remove, ignore_errors=True)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _wake_on_signals() -> int:
    """Return a descriptor that becomes readable when a signal arrives."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (*_ASKED_TO_STOP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    return reader


def _start(program: Sequence[str], account: str | None) -> subprocess.Popen[bytes]:
    if account is None:
        return subprocess.Popen(program, stdin=subprocess.DEVNULL, start_new_session=True)
    uid, gid = (int(part) for part in account.split(":"))
    return subprocess.Popen(
        program,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        user=uid,
        group=gid,
        extra_groups=[],
    )


def _hold(
    child: subprocess.Popen[bytes], waker: int, stop_signal: signal.Signals, grace: float
) -> bool:
    """Wait until the program has ended. Return whether it was asked to stop."""
    leash = sys.stdin.fileno()
    watched = [waker, leash]
    deadline: float | None = None
    stopped = False
    while child.poll() is None:
        patience = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select(watched, [], [], patience)
        stop, kill = False, not readable
        if waker in readable:
            stop = not _ASKED_TO_STOP.isdisjoint(os.read(waker, 64))
            kill = stop and stopped
        if leash in readable:
            said = os.read(leash, 64)
            kill = kill or KILL_AT_ONCE in said
            if not said:
                watched.remove(leash)
                stop = True
        if kill:
            _signal_group(child, signal.SIGKILL)
            deadline = None
        elif stop and not stopped:
            _signal_group(child, stop_signal)
            stopped, deadline = True, time.monotonic() + grace
    return stopped


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # macOS raises PermissionError for a group whose processes are all dead.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


if __name__ == "__main__":
    sys.exit(main())
