"""Build web/ for production, unless it has not changed since the last build.

    python -m scripts.setup.web_build

The suite builds it as one of its checks, and the browser tests serve the same build. Standard
library only, like the rest of the set-up.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scripts.operations.private_files import make_private_folder
from scripts.setup.checkout import CHECKOUT, VENV, WEB
from scripts.setup.node_runtime import NodeRuntime, find_node
from scripts.setup.steps import hash_of

BUILD: Final = WEB / ".next"
# Inside the build, so that any other build removes it.
_STAMP: Final = BUILD / "built-from"
_NOT_SOURCES: Final = ("node_modules", ".next", "next-env.d.ts")


class BuildError(Exception):
    """web/ could not be built. The message is the output of the build."""


def provide_build(node: NodeRuntime) -> Path:
    """Build web/ if its sources have changed, and return the folder. Raises `BuildError`.

    Processes that need the build at the same time take turns, so the first one builds for all.
    """
    home = make_private_folder(CHECKOUT / ".dev", 0o711 if os.geteuid() == 0 else 0o700)
    with (home / "web-build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        key = hash_of(node.version, *_sources())
        if _STAMP.is_file() and _STAMP.read_text(encoding="utf-8") == key:
            return BUILD
        _build(node)
        _STAMP.write_text(key, encoding="utf-8")
    return BUILD


def _sources() -> Iterator[Path | str]:
    """Return the name and the path of each file that a build may depend on."""
    for folder, folders, names in os.walk(WEB):
        folders[:] = sorted(name for name in folders if not name.startswith(_NOT_SOURCES))
        for name in sorted(names):
            if not name.startswith(_NOT_SOURCES):
                path = Path(folder) / name
                yield str(path.relative_to(WEB))
                yield path


def _build(node: NodeRuntime) -> None:
    # Without the settings that choose another folder or another kind of build.
    other = {"NEXT_DIST_DIR", "NEXT_STANDALONE", "NODE_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in other}
    done = subprocess.run(
        [str(node.node), "next.mjs", "build"],
        cwd=WEB,
        env=node.environment(environment),
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode != 0:
        raise BuildError(done.stdout)


def main() -> int:
    """Build web/, and return the exit code."""
    node = find_node(VENV)
    if node is None:
        print("web_build: Node.js is missing; ./scripts/test installs it", file=sys.stderr)
        return 1
    try:
        provide_build(node)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
