"""Install the peers' packages on first use, from their own lock files."""

import os
import sys
from pathlib import Path
from typing import Final

from scripts.devstack.postgres.files import CHECKOUT
from scripts.setup.bootstrap import VENV
from scripts.setup.node_runtime import find_node
from scripts.setup.python_packages import pip_install
from scripts.setup.steps import SetUp, SetUpError, hash_of

_HERE: Final = Path(__file__).parent
_HOME: Final = CHECKOUT / ".dev"


class Packages:
    """The packages of the peers: none is installed before a peer needs it."""

    def node(self) -> str:
        """Install the packages of the Node peers and return the Node to run them with.

        Raises `SetUpError`.
        """
        node = find_node(VENV)
        if node is None:
            raise SetUpError("no Node: ./scripts/dev installs one, or leave the Node peers out")
        files = [_HERE / name for name in ("package-lock.json", "package.json", ".npmrc")]
        stamp = _HERE / "node_modules" / ".set-up"
        with SetUp(_HOME) as steps, steps.step("Node peers", stamp, hash_of(*files)) as due:
            if due:
                options = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"]
                environment = node.environment(os.environ)
                steps.run("node-peers", [*node.npm, *options], cwd=_HERE, env=environment)
        return str(node.node)

    def python(self) -> Path:
        """Install the packages that only Python peers need and return their folder.

        Raises `SetUpError`.
        """
        folder = _HOME / "peers"
        lock = _HERE / "requirements.lock"
        key = hash_of(lock, sys.version)
        with SetUp(_HOME) as steps, steps.step("Python peers", folder / ".set-up", key) as due:
            if due:
                options = ["--target", str(folder), "--upgrade", "--no-deps", "--require-hashes"]
                command = [*pip_install(Path(sys.executable)), *options, "-r", str(lock)]
                steps.run("python-peers", command)
        return folder
