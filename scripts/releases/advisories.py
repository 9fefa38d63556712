"""Look for known vulnerabilities in the packages of all lock files.

    python -m scripts.releases.advisories

pip-audit asks PyPI about the Python packages, and `npm audit` asks the npm registry about the
others. A lock that cannot be checked is an error: silence must mean that nothing is known. Exit
codes: 0 nothing known, 1 vulnerabilities or not checked, 2 usage.
"""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, fail
from scripts.releases.products import ReleaseError
from scripts.releases.tools import provide_tools
from scripts.setup.checkout import CHECKOUT, VENV
from scripts.setup.node_runtime import find_node

Run = Callable[[Sequence[str], Path], str]
"""Run a program in a folder and return its output, whatever its exit code is."""
_REPORT: Final = TypeAdapter(dict[str, Any])


def main(argv: Sequence[str] | None = None) -> int:
    """Scan all lock files and return the exit code."""
    Parser("advisories", __doc__).parse_args(argv)
    try:
        tools = provide_tools()
    except ReleaseError as error:
        return fail("advisories", error)
    found: list[str] = []
    unchecked: list[str] = []
    for lock in locks(CHECKOUT):
        name = lock.relative_to(CHECKOUT).as_posix()
        try:
            findings = scan(lock, tools, run)
        except ReleaseError as error:
            unchecked.append(f"{name}: {error}")
        else:
            found.extend(f"{name}: {finding}" for finding in findings)
    print(*found, *unchecked, sep="\n", end="\n" if found or unchecked else "")
    if found or unchecked:
        reason = f"{len(found)} vulnerabilities are known, {len(unchecked)} locks were not checked"
        return fail("advisories", f"{reason} (see above)")
    return DONE


def locks(checkout: Path) -> list[Path]:
    """Return the lock files of the checkout, without those of installed packages."""
    return sorted(
        path
        for pattern in ("*.lock", "package-lock.json")
        for folder in (".", "docker", "scripts", "tests", "web", "benchmarks")
        for path in (
            checkout.glob(pattern) if folder == "." else (checkout / folder).rglob(pattern)
        )
        if "node_modules" not in path.parts
    )


def scan(lock: Path, tools: Path, run: Run) -> list[str]:
    """Return the known vulnerabilities of the packages in a lock. Raises `ReleaseError`."""
    if lock.name == "package-lock.json":
        return _scan_npm(lock, run)
    # The hashes make pip unnecessary: nothing is installed or resolved.
    options = ["--require-hashes", "--disable-pip", "--progress-spinner=off", "--format=json"]
    report = _parsed(
        run([str(tools / "pip-audit"), *options, "--requirement", str(lock)], CHECKOUT)
    )
    packages = report.get("dependencies", [])
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if skipped or not packages:
        raise ReleaseError(f"{len(skipped)} packages are unknown to PyPI, or it does not answer")
    return [
        f"{package['name']} {package['version']}: {vulnerability['id']},"
        f" fixed in {', '.join(vulnerability['fix_versions']) or 'no version'}"
        for package in packages
        for vulnerability in package["vulns"]
    ]


def _scan_npm(lock: Path, run: Run) -> list[str]:
    node = find_node(VENV)
    if node is None:
        raise ReleaseError("Node.js is missing: ./scripts/test installs it")
    report = _parsed(run([*node.npm, "audit", "--json", "--package-lock-only"], lock.parent))
    if "vulnerabilities" not in report:
        raise ReleaseError(f"npm audit failed: {report.get('message', 'no answer')}")
    return [
        f"{name} {vulnerability['range']}: {vulnerability['severity']}"
        for name, vulnerability in sorted(report["vulnerabilities"].items())
    ]


def _parsed(output: str) -> dict[str, Any]:
    try:
        return _REPORT.validate_json(output)
    except ValidationError:
        raise ReleaseError(
            "the scanner's answer cannot be read; does it reach its service?"
        ) from None


def run(command: Sequence[str], folder: Path) -> str:
    """Run a scanner and return its output. Raises `ReleaseError` if it cannot be started."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise ReleaseError(f"cannot run {command[0]}: {error.strerror}") from error
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
