"""Files that nobody but their owner may read: secrets, logs, and the folders that hold them."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700


def make_private_folder(folder: Path, mode: int = PRIVATE_FOLDER) -> Path:
    """Create `folder` where it is missing; the mode of a folder that was there stays as it is."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return folder
    folder.chmod(mode)  # mkdir's own mode is subject to the umask
    return folder


def write_private(path: Path, text: str) -> None:
    """Write `text` whole or not at all; at no time can another user read it."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}.unfinished")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def read_or_create(path: Path, make: Callable[[], str]) -> str:
    """Give what the file says; where there is none, let `make` say it once and for all."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        text = make()
        write_private(path, f"{text}\n")
        return text


def open_log(path: Path, *, append: bool = False) -> int:
    """Open a private log file for writing and return its descriptor; the caller closes it.

    The file is created where it is missing, and emptied unless `append` is set.

    A symbolic link in its place is refused (`OSError`): it would be somebody else's file.
    """
    make_private_folder(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags if append else flags | os.O_TRUNC, PRIVATE_FILE)


def last_line(path: Path) -> str:
    """Return the last line of a text file that is not blank, or '' where there is none."""
    return next(iter(last_lines(path, 1)), "")


def last_lines(path: Path, count: int, *, limit: int = 8192) -> list[str]:
    """Return the last lines of a text file that are not blank, from its last `limit` bytes."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - limit))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    return [line.strip() for line in lines if line.strip()][-count:]
