"""Set up what `./scripts/dev`, `./scripts/ops` and `./scripts/test` need, then become them.

From nothing but this Python and a network that reaches the package registries: a virtual
environment, the locked Python packages, Node (the system's, else one from a wheel), and the
packages of web/. Standard library only. Exit codes: 0 done, 1 failed, 2 usage.
"""

import ast
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from scripts.setup.chromium import find_chromium
from scripts.setup.node_runtime import OLDEST, NodeRuntime, find_node
from scripts.setup.python_packages import install_locked, pip_install
from scripts.setup.steps import SetUp, SetUpError, hash_of

ROOT: Final = Path(__file__).resolve().parents[2]
VENV: Final = ROOT / ".venv"
PYTHON: Final = VENV / "bin" / "python"
WEB: Final = ROOT / "web"
_STAMPS: Final = VENV / ".set-up"
_UNFINISHED: Final = _STAMPS / "unfinished"
_MODULES: Final = {
    "benchmark": "benchmarks",
    "dev": "scripts.devstack",
    "ops": "scripts.devstack.ops_command",
    "test": "pytest",
}
# Debian's names for programs that tests run, and where it puts them.
_PROGRAMS: Final = {
    "chromium": Path("/usr/bin/chromium"),
    "pgbouncer": Path("/usr/sbin/pgbouncer"),
    "redis-server": Path("/usr/bin/redis-server"),
}
_OLDEST_PYTHON: Final = (3, 11)


def main(argv: Sequence[str]) -> int:
    """Set up, then hand over; only a failure comes back."""
    command, *arguments = argv
    if command == "dev" and {"-h", "--help"} & set(arguments):
        source = (ROOT / "scripts" / "devstack" / "__main__.py").read_text(encoding="utf-8")
        print(ast.get_docstring(ast.parse(source)))
        return 0
    try:
        node = set_up(
            with_node=command == "test" or (command == "dev" and "--api" not in arguments),
            for_tests=command == "test",
        )
    except (SetUpError, OSError) as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 1
    if command == "test" and not arguments and node is not None and not check(node):
        return 1
    if command == "test" and not arguments:
        # By file: tests of one file share what is dear to set up. Each worker has a PostgreSQL.
        # In their order: end_to_end/ comes first, for it takes longest.
        arguments = ["-n", "auto", "--maxprocesses", "4"]
        arguments += ["--dist", "loadfile", "--no-loadscope-reorder"]
    return _become(_MODULES[command], arguments)


def set_up(*, with_node: bool, for_tests: bool) -> NodeRuntime | None:
    """Do the steps that are not done yet. Raises `SetUpError`."""
    with SetUp(ROOT / ".dev") as steps:
        version = _provide_venv(steps)
        locks = [ROOT / f"requirements{name}.lock" for name in ("", "-uv")]
        packages = hash_of(*locks, version)
        with steps.step("Python packages", _STAMPS / "python-packages", packages) as due:
            if due:
                _UNFINISHED.touch()
                try:
                    install_locked(steps, PYTHON, *locks)
                except SetUpError:
                    _UNFINISHED.unlink()  # pip itself gave up, and tidied up
                    raise
                _UNFINISHED.unlink()
        projects = (ROOT / "keys", ROOT)
        own = hash_of(*(folder / "pyproject.toml" for folder in projects), str(ROOT), version)
        with steps.step("these projects", _STAMPS / "these-projects", own) as due:
            if due:
                options = ["--no-deps", "--no-build-isolation", "--no-index"]
                editable = [part for folder in projects for part in ("--editable", str(folder))]
                steps.run("these-projects", [*pip_install(PYTHON), *options, *editable])
        if for_tests:
            _provide_programs(steps)
        return _provide_node(steps, version) if with_node else None


def check(node: NodeRuntime) -> bool:
    """Check style and types; what is wrong is printed."""
    npm = [*node.npm, "run", "--silent"]
    checks = {
        "ruff check": ([str(PYTHON), "-m", "ruff", "check", "--quiet", "."], ROOT),
        "ruff format": ([str(PYTHON), "-m", "ruff", "format", "--check", "--quiet", "."], ROOT),
        "mypy": ([str(PYTHON), "-m", "mypy", "--no-error-summary"], ROOT),
        "web lint": ([*npm, "lint"], WEB),
        "web typecheck": ([*npm, "typecheck"], WEB),
    }
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


def _provide_venv(steps: SetUp) -> str:
    """Make or keep the virtual environment; give the version of its Python."""
    version = _venv_version()
    made_at = _STAMPS / "made-at"
    moved = made_at.is_file() and made_at.read_text(encoding="utf-8") != str(ROOT)
    # One that was made elsewhere, or in which pip was killed, cannot be mended.
    if version is None or moved or _UNFINISHED.exists():
        with steps.task("virtual environment"):
            _require_venv_module(steps)
            steps.run("virtual-environment", [sys.executable, "-m", "venv", "--clear", str(VENV)])
            version = _venv_version()
            if version is None:
                raise SetUpError(f"{PYTHON} does not work, see .dev/logs/virtual-environment.log")
    _STAMPS.mkdir(exist_ok=True)
    made_at.write_text(str(ROOT), encoding="utf-8")
    return version


def _venv_version() -> str | None:
    """Ask the virtual environment's Python; None if there is none that works and fits."""
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
    """See to it that this Python can make virtual environments: Debian packs that apart."""
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if not _may_install():
        raise SetUpError(
            f"{sys.executable} cannot make virtual environments (no ensurepip):"
            f" install python3-venv (apt-get install {package}), or name another Python in PYTHON"
        )
    _install(steps, package)


def _provide_programs(steps: SetUp) -> None:
    """In CI, where no test may be skipped, install the programs that tests run.

    Elsewhere only ask for a browser, without which nothing tests the web app as people see it.
    """
    missing = [package for package, path in _PROGRAMS.items() if not path.exists()]
    if _may_install() and missing:
        with steps.task(f"{' and '.join(missing)} (apt-get)"):
            _install(steps, *missing)
    elif find_chromium() is None:
        steps.tell("no Chromium: install it to run the browser tests (apt-get install chromium)")


def _may_install() -> bool:
    in_ci = os.environ.get("CI") == "true" and os.geteuid() == 0
    return in_ci and shutil.which("apt-get") is not None


def _install(steps: SetUp, *packages: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    steps.run("apt-get-update", ["apt-get", "update"], env=environment)
    steps.run("apt-get-install", install, env=environment)


def _provide_node(steps: SetUp, version: str) -> NodeRuntime:
    node = find_node(VENV)
    if node is None:
        lock = ROOT / "requirements-node.lock"
        # No Node was found, so whatever a stamp may say is not so.
        (_STAMPS / "node").unlink(missing_ok=True)
        with steps.step("Node (from a wheel)", _STAMPS / "node", hash_of(lock, version)):
            steps.run("node", [*pip_install(PYTHON), "--require-hashes", "-r", str(lock)])
            node = find_node(VENV)
            if node is None:
                wanted = ".".join(str(number) for number in OLDEST)
                raise SetUpError(f"the Node of the wheel does not run here: install Node {wanted}+")
    files = [WEB / name for name in ("package-lock.json", "package.json", ".npmrc")]
    key = hash_of(*files, node.version.partition(".")[0])
    with steps.step("web packages", WEB / "node_modules" / ".set-up", key) as due:
        if due:
            # No package of ours needs its install script; and those run anybody's code.
            options = ["ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            environment = node.environment(os.environ)
            steps.run("web-packages", [*node.npm, *options], cwd=WEB, env=environment)
    return node


def _become(module: str, arguments: Sequence[str]) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    command = [str(PYTHON), "-m", module, *arguments]
    os.execv(PYTHON, command)  # noqa: S606 - a list, not a shell's line, and that is the point


def _stop(number: int, _frame: object) -> NoReturn:
    # Unlike the signal's own way, this lets the steps take their programs down with them.
    raise SystemExit(128 + number)


if __name__ == "__main__":
    for handled in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(handled, _stop)
    sys.exit(main(sys.argv[1:]))
