"""Choose the releases of Better Auth to try, and install each in a folder of its own."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scripts.devstack.settings import DEFAULT_HOME
from scripts.setup.checkout import WEB
from scripts.setup.node_runtime import NodeRuntime
from scripts.setup.steps import SetUp, SetUpError, hash_of

PACKAGE: Final = "better-auth"
OLDEST: Final = (1, 6)
ATTEMPTS: Final = 3
"""How many releases of a minor version are tried until one can be installed."""
FOLDER: Final = DEFAULT_HOME / "better-auth-versions"
PROGRAM: Final = Path(__file__).with_name("issuer.mjs")
_RELEASE: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_NPM_SECONDS: Final = 60


def newest_of_each_minor(versions: Sequence[str]) -> list[list[str]]:
    """Return the newest `ATTEMPTS` releases of each minor version since `OLDEST`, newest first.

    Pre-releases are left out.
    """
    patches: dict[tuple[int, int], list[int]] = {}
    for version in versions:
        found = _RELEASE.fullmatch(version)
        if found is None:
            continue
        major, minor, patch = (int(part) for part in found.groups())
        if (major, minor) >= OLDEST:
            patches.setdefault((major, minor), []).append(patch)
    return [
        [f"{major}.{minor}.{patch}" for patch in sorted(known, reverse=True)[:ATTEMPTS]]
        for (major, minor), known in sorted(patches.items(), reverse=True)
    ]


def published(node: NodeRuntime) -> list[str]:
    """Return all versions that the configured npm registry has. Raises `SetUpError`."""
    try:
        listed = subprocess.run(
            [*node.npm, "view", PACKAGE, "versions", "--json"],
            env=node.environment(os.environ),
            capture_output=True,
            text=True,
            check=True,
            timeout=_NPM_SECONDS,
        )
        found = json.loads(listed.stdout)
    except (subprocess.SubprocessError, OSError, ValueError):
        raise SetUpError(
            f"npm did not list the versions of {PACKAGE}: check `npm view {PACKAGE} versions`"
        ) from None
    return [str(version) for version in found]


def install(version: str, node: NodeRuntime, folder: Path = FOLDER) -> Path:
    """Install a version with its issuer program, and return the program. Raises `SetUpError`.

    npm writes the lock file beside it. An installation that is complete is used again.
    """
    home = folder / version
    manifest = {
        "private": True,
        "type": "module",
        "dependencies": {PACKAGE: version, "pg": _version_of_pg()},
    }
    text = json.dumps(manifest, indent=2)
    stamp = home / "node_modules" / ".set-up"
    with (
        SetUp(DEFAULT_HOME) as steps,
        steps.step(f"{PACKAGE} {version}", stamp, hash_of(text, node.version)) as due,
    ):
        if due:
            home.mkdir(parents=True, exist_ok=True)
            (home / "package.json").write_text(text, encoding="utf-8")
            # No install scripts: they would be code of packages that nobody reviewed for this run.
            options = ["install", "--no-audit", "--no-fund", "--ignore-scripts"]
            steps.run(
                f"{PACKAGE}-{version}",
                [*node.npm, *options],
                cwd=home,
                env=node.environment(os.environ),
            )
    return Path(shutil.copy(PROGRAM, home))


def _version_of_pg() -> str:
    """Return the version of the database driver that web/ uses."""
    manifest = json.loads((WEB / "package.json").read_text(encoding="utf-8"))
    return str(manifest["dependencies"]["pg"])
