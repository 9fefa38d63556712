"""Read the server's pid file, and stop a server that an earlier run left behind."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final, NamedTuple

FAST_SHUTDOWN: Final = signal.SIGINT
IMMEDIATE_SHUTDOWN: Final = signal.SIGQUIT
FAST_SECONDS: Final = 10.0
IMMEDIATE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.02
_PROGRAM: Final = "postgres"
# The lines of postmaster.pid: pid, data folder, start time, port, socket folder, address, shared
# memory, status. The server writes the later lines while it starts.
_PORT_LINE: Final = 3
_STATUS_LINE: Final = 7


class PostgresError(Exception):
    """The server cannot be used. The message is one line that says what to do or where to look."""


class _PidFile(NamedTuple):
    pid: int
    port: int | None
    status: str


def is_ready(data: Path, port: int) -> bool:
    """Return whether a running server on this data folder reports that it is ready."""
    found = _read(data)
    if found is None or found.port != port or found.status != "ready":
        return False
    return _is_server_of(found.pid, data)


def is_running(data: Path) -> bool:
    """Return whether a server runs on this data folder."""
    found = _read(data)
    return found is not None and _is_server_of(found.pid, data)


def stop_orphan(data: Path) -> None:
    """Stop the server that runs on this data folder, if there is one. Raises `PostgresError`.

    A pid file alone proves nothing: after a reboot its number can belong to any process. Only a
    process that is a server on this folder gets a signal. PostgreSQL itself handles a stale file.
    """
    for number, seconds in (
        (FAST_SHUTDOWN, FAST_SECONDS),
        (IMMEDIATE_SHUTDOWN, IMMEDIATE_SECONDS),
    ):
        found = _read(data)
        if found is None or not _is_server_of(found.pid, data):
            return
        try:
            os.kill(found.pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            break
        if _gone_within(found.pid, data, seconds):
            return
    if is_running(data):
        raise PostgresError(
            f"a PostgreSQL server of an earlier run still uses {data}; stop it, then start again"
        )


def _read(data: Path) -> _PidFile | None:
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not lines or not lines[0].strip().isdecimal():
        return None
    port = lines[_PORT_LINE].strip() if len(lines) > _PORT_LINE else ""
    status = lines[_STATUS_LINE].strip() if len(lines) > _STATUS_LINE else ""
    return _PidFile(int(lines[0]), int(port) if port.isdecimal() else None, status)


def _is_server_of(pid: int, data: Path) -> bool:
    """Return whether the process is a PostgreSQL server that was started on this data folder.

    This looks at its command line, which every user may read. In most containers, even root may not
    read its working directory (`/proc/<pid>/cwd`).
    """
    if Path("/proc/self/cmdline").exists():
        try:
            words = (Path("/proc") / str(pid) / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False
        return Path(os.fsdecode(words[0])).name == _PROGRAM and os.fsencode(data) in words
    command = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    line = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    program, _, arguments = line.partition(" -D ")
    return Path(program).name == _PROGRAM and arguments.startswith(f"{data} ")


def _gone_within(pid: int, data: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not _is_server_of(pid, data):
            return True
        time.sleep(_POLL_SECONDS)
    return False
