"""Set-up in steps. A step that has a current stamp is skipped.

A stamp is a small file inside the folder that the step creates, so both are removed together. It
contains a hash of everything that the step depends on. It is removed before the step is repeated,
so an interrupted step has no stamp. Standard library only, because this runs before the
installation.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from scripts.operations.private_files import last_line, make_private_folder, open_log

_ERROR_LINE: Final = re.compile(r"^(?:npm )?(?:error|err!)[: ]\s*(?!code\b)(\S.*)$", re.IGNORECASE)
_LIVE_SECONDS: Final = 0.2
_SIGN_SECONDS: Final = 10.0


class SetUpError(Exception):
    """A step failed. The message is one line that says what to do."""


class SetUp:
    """The steps of one set-up. As a context manager, it locks out other set-ups."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = -1
        self._title = ""
        self._began = 0.0

    def __enter__(self) -> Self:
        # As root, the database server's account must be able to enter the folder.
        make_private_folder(self._home, 0o711 if os.geteuid() == 0 else 0o700)
        path = self._home / "set-up.lock"
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _show("another set-up is running; waiting until it ends\n")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    @contextlib.contextmanager
    def step(self, title: str, stamp: Path, key: str) -> Iterator[bool]:
        """Yield whether the step is due. If the block succeeds, the step gets a stamp."""
        if _read(stamp) == key:
            yield False
            return
        stamp.unlink(missing_ok=True)
        with self.task(title):
            yield True
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.write_text(f"{key}\n")

    @contextlib.contextmanager
    def task(self, title: str) -> Iterator[None]:
        """Show what is being done, and how long it took."""
        self._title, self._began = title, time.monotonic()
        _show(f"{title} … ")
        try:
            yield
        except BaseException:
            sys.stderr.write("failed\n")
            raise
        if sys.stderr.isatty():
            _show(f"{self._title} … ", again=True)
        sys.stderr.write(f"{time.monotonic() - self._began:.1f} s\n")

    def note(self, text: str) -> None:
        """Add a note to the line of the current task."""
        self._title = f"{self._title} ({text})"
        sys.stderr.write(f"({text}) … ")
        sys.stderr.flush()

    def show(self, text: str) -> None:
        """Show a line that belongs to no task."""
        _show(f"{text}\n")

    def run(
        self,
        name: str,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Run a program with its output in a log, and show progress. Raises `SetUpError`."""
        log = self._home / "logs" / f"{name}.log"
        descriptor = open_log(log)
        try:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                # It also holds the lock: if we are killed, the next set-up waits until it ends.
                pass_fds=(self._lock,),
            )
        except OSError as error:
            raise SetUpError(f"cannot run {command[0]}: {error.strerror}") from error
        finally:
            os.close(descriptor)
        try:
            code = self._wait(process, log)
        except BaseException:
            # First SIGTERM, so that pip and npm can remove their temporary folders.
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            raise
        if code != 0:
            raise SetUpError(f"{name} failed: {_reason(log)} (all of it: {log})")

    def _wait(self, process: "subprocess.Popen[bytes]", log: Path) -> int:
        """Wait for a program. A terminal shows its last line, a log the elapsed time.

        Without progress, a slow network would look like a program that hangs.
        """
        live = sys.stderr.isatty()
        while True:
            try:
                return process.wait(_LIVE_SECONDS if live else _SIGN_SECONDS)
            except subprocess.TimeoutExpired:
                seconds = f"{time.monotonic() - self._began:.0f} s"
            if live:
                room = shutil.get_terminal_size().columns - len(self._title) - len(seconds) - 16
                _show(f"{self._title} … {seconds}  {last_line(log)[: max(0, room)]}", again=True)
            else:
                sys.stderr.write(f"{seconds} … ")
                sys.stderr.flush()


def hash_of(*parts: Path | str) -> str:
    """Return one hash of files and strings. A missing file differs from an empty one."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            content = part.encode()
        else:
            content = part.read_bytes() if part.is_file() else b"\0missing"
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def _read(stamp: Path) -> str | None:
    try:
        return stamp.read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _reason(log: Path) -> str:
    """Return the most useful line of a log: the first error, else the last line."""
    for line in log.read_text(errors="replace").splitlines():
        found = _ERROR_LINE.match(line.strip())
        if found:
            return found[1]
    return last_line(log) or "it wrote nothing"


def _show(text: str, *, again: bool = False) -> None:
    """Start a line, or overwrite the current line of a terminal."""
    sys.stderr.write(f"\r\x1b[Kset-up  {text}" if again else f"set-up  {text}")
    sys.stderr.flush()
