"""The folder of a development stack (`.dev/`): its lock, its secrets, its logs."""

import fcntl
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from scripts.operations.private_files import make_private_folder, read_or_create, write_private

LEFTOVER_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05


class HomeError(Exception):
    """The folder cannot be used. The message is one line that says what to do."""


class DevHome:
    """The folder of one stack. It is locked while the stack runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.lock = -1
        self._own_lock = -1

    @property
    def postgres(self) -> Path:
        """The folder of the embedded database server."""
        return self.folder / "postgres"

    def log(self, name: str) -> Path:
        """Return the path of a program's log."""
        return self.folder / "logs" / f"{name}.log"

    def secret(self, name: str) -> str:
        """Return a secret, which is random and created at its first use."""
        return read_or_create(self.folder / name, lambda: secrets.token_urlsafe(32))

    def write_operators_environment(self, environment: Mapping[str, str]) -> None:
        """Write the settings of the operators' commands, for `./scripts/ops`."""
        quoted = str.maketrans({"\\": r"\\", "'": r"\'"})
        lines = (f"{name}='{value.translate(quoted)}'\n" for name, value in environment.items())
        write_private(self.folder / "operators.env", "".join(lines))

    @property
    def running(self) -> bool:
        """Whether a stack, or a program that it left behind, runs on the folder.

        This takes the lock that a starting stack waits for, so a start is not disturbed.
        """
        try:
            descriptor = os.open(self.folder / "programs.lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not _try_lock(descriptor)
        finally:
            os.close(descriptor)

    def acquire(self) -> None:
        """Lock the folder for the life of this process. Raises `HomeError`.

        There are two locks. The first belongs to this process and means that a stack is running.
        The second is also held by the programs' leashes: after a SIGKILL the next start waits until
        the programs are gone. Process ids are not enough, because a killed process can be a zombie.
        """
        # As root, the database server's account must be able to enter the folder.
        make_private_folder(self.folder, 0o711 if os.geteuid() == 0 else 0o700)
        path = self.folder / "lock"
        self._own_lock = _open(path)
        if not _try_lock(self._own_lock):
            raise HomeError(
                f"a stack is already running on {self.folder} (process {path.read_text()});"
                " stop it, or use --home DIR to run another one"
            )
        os.ftruncate(self._own_lock, 0)
        os.pwrite(self._own_lock, str(os.getpid()).encode(), 0)
        self.lock = _open(self.folder / "programs.lock")
        deadline = time.monotonic() + LEFTOVER_SECONDS
        while not _try_lock(self.lock):
            if time.monotonic() > deadline:
                raise HomeError(
                    f"programs of an earlier run on {self.folder} did not end"
                    f" within {LEFTOVER_SECONDS:.0f} s; kill them and start again"
                )
            time.sleep(_POLL_SECONDS)

    def release(self) -> None:
        """Release the locks."""
        for descriptor in (self.lock, self._own_lock):
            if descriptor >= 0:
                os.close(descriptor)
        self.lock = self._own_lock = -1


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
