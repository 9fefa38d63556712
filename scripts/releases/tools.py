"""The programs that releases need besides the project's own packages, and how they are run."""

import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from scripts.devstack.settings import DEFAULT_HOME
from scripts.releases.products import ReleaseError
from scripts.setup.checkout import PYTHON
from scripts.setup.python_packages import pip_settings, uv_environment
from scripts.setup.steps import SetUp, SetUpError, hash_of

HOME: Final = DEFAULT_HOME / "release"
_LOCK: Final = Path(__file__).with_name("requirements.lock")


def provide_tools() -> Path:
    """Install cyclonedx-py and pip-audit, and return the folder of their programs.

    They are in an environment of their own, so that an SBOM does not list them. Raises
    `ReleaseError`.
    """
    folder = HOME / "tools"
    try:
        with (
            SetUp(DEFAULT_HOME) as steps,
            steps.step("tools of releases", folder / ".set-up", hash_of(_LOCK, sys.version)) as due,
        ):
            if due:
                install(steps, folder, "--require-hashes", "-r", str(_LOCK))
    except SetUpError as error:
        raise ReleaseError(str(error)) from error
    return folder / "bin"


def install(steps: SetUp, environment: Path, *arguments: str) -> None:
    """Create a virtual environment without pip, and install packages. Raises `SetUpError`."""
    venv.create(environment, clear=True, symlinks=True)
    uv = [
        str(PYTHON.with_name("uv")),
        "pip",
        "install",
        "--python",
        str(environment / "bin/python"),
    ]
    settings = uv_environment(pip_settings(PYTHON))
    steps.run(f"install-{environment.name}", [*uv, *arguments], env={**settings, **os.environ})


def output_of(
    command: Sequence[str], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Run a program and return its output. Raises `ReleaseError` if it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise ReleaseError(f"cannot run {command[0]}: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().rpartition("\n")[2]
        raise ReleaseError(f"{Path(command[0]).name} failed: {last}") from error
    return done.stdout
