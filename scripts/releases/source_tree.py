"""The files of a commit, without anything else that lies in the checkout."""

import subprocess
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from scripts.releases.products import ReleaseError


@dataclass(frozen=True)
class Commit:
    """A commit and the time of its author, in seconds since 1970."""

    identifier: str
    seconds: int

    @classmethod
    def checked_out(cls, checkout: Path) -> "Commit":
        """Return the commit of a checkout. Raises `ReleaseError` if files differ from it."""
        changed = _git(checkout, "status", "--porcelain").decode().splitlines()
        if changed:
            raise ReleaseError(
                f"{len(changed)} files are not committed, such as {changed[0][3:]}:"
                " a release is built from a commit"
            )
        identifier, seconds = _git(checkout, "log", "-1", "--format=%H %ct").decode().split()
        return cls(identifier, int(seconds))

    def export(self, checkout: Path, folder: Path) -> Path:
        """Write the files of the commit to a folder, and return it."""
        archive = _git(checkout, "archive", "--format=tar", self.identifier)
        with tarfile.open(fileobj=BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        return folder


def _git(checkout: Path, *arguments: str) -> bytes:
    try:
        command = ["git", *arguments]
        return subprocess.run(command, cwd=checkout, check=True, capture_output=True).stdout
    except OSError as error:
        raise ReleaseError(f"cannot run git: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        message = error.stderr.decode(errors="replace").strip()
        raise ReleaseError(f"git {arguments[0]} failed: {message}") from error
