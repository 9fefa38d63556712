"""Read and replace a small file that no other user can access. It needs a POSIX system."""

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from better_auth_keys.key_sets.key_set import MAX_DOCUMENT_BYTES

_MAX_BYTES: Final = 2 * MAX_DOCUMENT_BYTES


def read_private(path: Path) -> bytes:
    """Return the contents of a file that only this user can access.

    Raises `OSError`, or `ValueError` for another file.
    """
    # If it is a pipe, do not wait for its other end.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is not a regular file")
        if about.st_uid != os.geteuid():
            raise ValueError(f"it belongs to user {about.st_uid}, not to this process's user")
        if about.st_mode & 0o077:
            raise ValueError(f"its mode is {stat.S_IMODE(about.st_mode):04o}, not 0600")
        contents = file.read(_MAX_BYTES + 1)
    if len(contents) > _MAX_BYTES:
        raise ValueError(f"it has over {_MAX_BYTES} bytes")
    return contents


def replace_private(path: Path, contents: bytes) -> None:
    """Replace a file atomically. It is not synced: a crash can only lose a cache."""
    if len(contents) > _MAX_BYTES:
        raise ValueError(f"it would have over {_MAX_BYTES} bytes")
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(contents)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
