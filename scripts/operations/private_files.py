"""Files and folders that only their owner can read: secrets, logs, and where they are kept."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700


def make_private_folder(folder: Path, mode: int = PRIVATE_FOLDER) -> Path:
    """Create `folder` if it is missing. An existing folder keeps its mode."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return folder
    folder.chmod(mode)  # mkdir's own mode is subject to the umask
    return folder


def create_private(path: Path, text: str, mode: int = PRIVATE_FILE) -> None:
    """Create a file with `text`, private by default, on disk when this returns. Raises `OSError`.

    An existing file, or a symbolic link in its place, is an error and is left alone.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_private(path: Path, text: str) -> None:
    """Write `text` atomically; other users can never read the file."""
    write_atomically(path, text, PRIVATE_FILE)


def write_atomically(path: Path, text: str, mode: int) -> None:
    """Write `text` atomically; `mode` is subject to the umask. Raises `OSError`."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.unfinished")
    create_private(unfinished, text, mode)
    try:
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def read_or_create(path: Path, make: Callable[[], str]) -> str:
    """Return the text of a file. If it is missing, create it with what `make` returns."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        text = make()
        write_private(path, f"{text}\n")
        return text


def open_log(path: Path, *, append: bool = False) -> int:
    """Open a private log file for writing and return its descriptor; the caller closes it.

    The file is created if it is missing, and emptied unless `append` is set. A symbolic link in its
    place is refused (`OSError`): the log would be written to another user's file.
    """
    make_private_folder(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags if append else flags | os.O_TRUNC, PRIVATE_FILE)


def last_line(path: Path) -> str:
    """Return the last line of a text file that is not blank, or '' if there is none."""
    return next(iter(last_lines(path, 1)), "")


def last_lines(path: Path, count: int, *, limit: int = 8192) -> list[str]:
    """Return the last `count` lines that are not blank, from the last `limit` bytes of a file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - limit))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    return [line.strip() for line in lines if line.strip()][-count:]
