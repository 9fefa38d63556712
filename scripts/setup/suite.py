"""What `./scripts/test` runs: checks of style and types, a build, and tests.

Standard library only.
"""

import os
import subprocess
import sys
import time

from scripts.setup.checkout import CHECKOUT, PYTHON, WEB
from scripts.setup.node_runtime import NodeRuntime


def check(node: NodeRuntime, *, quick: bool) -> bool:
    """Check style and types, test and build web/, and print the errors.

    The quick suite has no browser tests, so it needs no build.
    """
    npm = [*node.npm, "run", "--silent"]
    checks = {
        "ruff check": ([str(PYTHON), "-m", "ruff", "check", "--quiet", "."], CHECKOUT),
        "ruff format": ([str(PYTHON), "-m", "ruff", "format", "--check", "--quiet", "."], CHECKOUT),
        "mypy": ([str(PYTHON), "-m", "mypy", "--no-error-summary"], CHECKOUT),
        "web lint": ([*npm, "lint"], WEB),
        "web typecheck": ([*npm, "typecheck"], WEB),
        "web unit tests": ([*npm, "test"], WEB),
    }
    if not quick:
        checks["web build"] = ([str(PYTHON), "-m", "scripts.setup.web_build"], CHECKOUT)
    for title, (command, folder) in checks.items():
        sys.stderr.write(f"check   {title} … ")
        sys.stderr.flush()
        began = time.monotonic()
        result = subprocess.run(
            command,
            cwd=folder,
            env=node.environment(os.environ),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if result.returncode != 0:
            sys.stderr.write(f"failed\n{result.stdout}test: {title} failed, see above\n")
            return False
        sys.stderr.write(f"{time.monotonic() - began:.1f} s\n")
    return True


def pytest_arguments(*, quick: bool) -> list[str]:
    """Return the arguments that run the whole suite, or without the tests marked `slow`."""
    # By file, because tests in one file share fixtures that are slow to set up. Each worker has its
    # own PostgreSQL. In the given order, because end_to_end/ takes longest and is first.
    arguments = ["-n", "auto", "--maxprocesses", "4"]
    arguments += ["--dist", "loadfile", "--no-loadscope-reorder"]
    if quick:
        # Show tests that take long without the mark.
        arguments += ["-m", "not slow", "--durations", "10", "--durations-min", "5"]
    return arguments
