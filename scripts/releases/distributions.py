"""Wheels and source distributions, built twice and compared byte for byte.

The builds differ in everything that must not matter: the folder, its name, the permissions of its
files, the time zone, the language and the seed of hashes. The time of files is that of the commit.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from scripts.releases.products import LIBRARY, SERVICE, Product, ReleaseError
from scripts.releases.source_tree import Commit

# The service is an application, which is installed from its image: its wheel is for the SBOM.
_TARGETS: Final[Mapping[Product, tuple[str, ...]]] = {
    LIBRARY: ("wheel", "sdist"),
    SERVICE: ("wheel",),
}
_SURROUNDINGS: Final[tuple[tuple[str, int, Mapping[str, str]], ...]] = (
    ("first", 0o022, {"TZ": "UTC", "LANG": "C.UTF-8", "PYTHONHASHSEED": "1"}),
    ("another folder", 0o077, {"TZ": "Asia/Tokyo", "LANG": "C", "PYTHONHASHSEED": "2"}),
)


def build_twice(commit: Commit, checkout: Path, out: Path) -> list[Path]:
    """Build all distributions in a folder, and return their paths.

    Raises `ReleaseError` if a build fails, or if a file of the second build differs.
    """
    builds: list[dict[str, bytes]] = []
    # Outside the checkout, whose .gitignore would apply to a folder in it.
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        for name, mask, environment in _SURROUNDINGS:
            tree = Path(folder, name)
            previous = os.umask(mask)
            try:
                tree.mkdir()
                commit.export(checkout, tree / "source")
                builds.append(_build(tree, commit, environment))
            finally:
                os.umask(previous)
    first, second = builds
    different = sorted(
        name for name in first.keys() | second.keys() if first.get(name) != second.get(name)
    )
    if different:
        raise ReleaseError(f"two builds of one commit differ: {', '.join(different)}")
    paths = [out / name for name in sorted(first)]
    for path in paths:
        path.write_bytes(first[path.name])
    return paths


def _build(tree: Path, commit: Commit, environment: Mapping[str, str]) -> dict[str, bytes]:
    built = tree / "built"
    for product, targets in _TARGETS.items():
        options = [option for target in targets for option in ("--target", target)]
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", *options, "--directory", str(built)],
            cwd=tree / "source" / product.project,
            env={**os.environ, **environment, "SOURCE_DATE_EPOCH": str(commit.seconds)},
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode != 0:
            last = done.stdout.strip().rpartition("\n")[2]
            raise ReleaseError(f"{product.name} cannot be built: {last}")
    return {path.name: path.read_bytes() for path in built.iterdir()}
