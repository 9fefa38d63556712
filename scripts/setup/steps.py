"""Set-up in steps, each done once: what a stamp says is done is skipped.

A stamp is a small file inside what the step made, so that removing the one removes the other. It
holds a hash of all that the step depends on, and it is taken away before the step is done again:
a step that was interrupted has no stamp. Standard library only: this runs before anything else.
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
    """A step failed; the message is one line that says what to do."""


class SetUp:
    """The steps of one start. Enter it as a context: no two starts set up at the same time."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = -1
        self._title = ""
        self._began = 0.0

    def __enter__(self) -> Self:
        # Under root the database server's account must pass through to its data.
        make_private_folder(self._home, 0o711 if os.geteuid() == 0 else 0o700)
        path = self._home / "set-up.lock"
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _tell("another start is at it; waiting for its end\n")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    @contextlib.contextmanager
    def step(self, title: str, stamp: Path, key: str) -> Iterator[bool]:
        """Give True where the step has to be done; it is stamped when the block ends well."""
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
        """Say what is being done, and how long it took."""
        self._title, self._began = title, time.monotonic()
        _tell(f"{title} … ")
        try:
            yield
        except BaseException:
            sys.stderr.write("failed\n")
            raise
        if sys.stderr.isatty():
            _tell(f"{self._title} … ", again=True)
        sys.stderr.write(f"{time.monotonic() - self._began:.1f} s\n")

    def note(self, text: str) -> None:
        """Add something that people should know to the line of the running task."""
        self._title = f"{self._title} ({text})"
        sys.stderr.write(f"({text}) … ")
        sys.stderr.flush()

    def tell(self, text: str) -> None:
        """Write a line that belongs to no task."""
        _tell(f"{text}\n")

    def run(
        self,
        name: str,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Run a program of a step, its output going to a log, and show that it goes on.

        Raises `SetUpError`.
        """
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
                # It holds the lock too: should we be killed, the next start waits for its end.
                pass_fds=(self._lock,),
            )
        except OSError as error:
            raise SetUpError(f"cannot run {command[0]}: {error.strerror}") from error
        finally:
            os.close(descriptor)
        try:
            code = self._wait(process, log)
        except BaseException:
            # Gently first: pip and npm then take their temporary folders with them.
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
        """Wait for a program; a terminal shows its last line, anything else the time now and then.

        Without that, a slow network looks like a program that hangs.
        """
        live = sys.stderr.isatty()
        while True:
            try:
                return process.wait(_LIVE_SECONDS if live else _SIGN_SECONDS)
            except subprocess.TimeoutExpired:
                seconds = f"{time.monotonic() - self._began:.0f} s"
            if live:
                room = shutil.get_terminal_size().columns - len(self._title) - len(seconds) - 16
                _tell(f"{self._title} … {seconds}  {last_line(log)[: max(0, room)]}", again=True)
            else:
                sys.stderr.write(f"{seconds} … ")
                sys.stderr.flush()


def hash_of(*parts: Path | str) -> str:
    """Hash files (a missing one counts as such) and texts into one key."""
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
    """Pick the line that tells most: the first error, else the last line."""
    for line in log.read_text(errors="replace").splitlines():
        found = _ERROR_LINE.match(line.strip())
        if found:
            return found[1]
    return last_line(log) or "it said nothing"


def _tell(text: str, *, again: bool = False) -> None:
    """Write the beginning of a line, or write over the one that a terminal shows."""
    sys.stderr.write(f"\r\x1b[Kset-up  {text}" if again else f"set-up  {text}")
    sys.stderr.flush()
