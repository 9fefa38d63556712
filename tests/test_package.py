"""The two distributions: the library that users install, and the application with its commands."""

import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent


def build(project: Path, folder: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=project,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def names_in(wheel: Path) -> list[str]:
    return [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]


def install(target: Path, *wheels: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, target, *wheels], check=True, capture_output=True)


def run(
    *command: str, cwd: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT / "keys", tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("application"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A foreign wheel with packages of the same names as ours."""
    project = tmp_path_factory.mktemp("foreign")
    for name in ("scripts", "service", "scripts/operations"):
        (project / name).mkdir()
        (project / name / "__init__.py").touch()
    for name in ("scripts/migrate.py", "scripts/operations/migrate.py", "service/app.py"):
        (project / name).write_text("raise SystemExit('this is not ours')\n")
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "foreign"\nversion = "1"\n'
        '[tool.hatch.build.targets.wheel]\npackages = ["scripts", "service"]\n'
    )
    return build(project, tmp_path_factory.mktemp("foreign-wheel"))


def test_library_wheel_holds_its_package_and_nothing_else(library: Path) -> None:
    names = names_in(library)
    assert {name.partition("/")[0] for name in names} == {"better_auth_keys"}
    assert "better_auth_keys/py.typed" in names


def test_library_requires_few_packages(library: Path) -> None:
    archive = zipfile.ZipFile(library)
    metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
    lines = archive.read(metadata).decode().splitlines()
    base = [line for line in lines if line.startswith("Requires-Dist") and "extra ==" not in line]
    assert [line.split()[1].partition(">")[0] for line in base] == [
        "anyio",
        "cachetools",
        "cryptography",
        "httpx",
        "joserfc",
    ]


def brought(requirements: Iterable[str]) -> set[str]:
    """Return the packages that these bring on Python 3.11, without extras."""
    oldest = {"python_version": "3.11", "python_full_version": "3.11.0", "extra": ""}
    found: set[str] = set()
    waiting = [*requirements]
    while waiting:
        one = Requirement(waiting.pop())
        name = canonicalize_name(one.name)
        if name not in found and (one.marker is None or one.marker.evaluate(oldest)):
            found.add(name)
            waiting += requires(name) or []
    return found


def test_library_brings_at_most_twelve_packages(library: Path) -> None:
    archive = zipfile.ZipFile(library)
    metadata = next(name for name in archive.namelist() if name.endswith("METADATA"))
    lines = archive.read(metadata).decode().splitlines()
    own = [line.partition(": ")[2] for line in lines if line.startswith("Requires-Dist: ")]
    packages = brought(own)
    assert packages >= {"cachetools", "cffi", "httpx", "pycparser"}
    assert len(packages) <= 12


def test_library_brings_a_command_and_a_pytest_plugin(library: Path) -> None:
    archive = zipfile.ZipFile(library)
    name = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
    assert archive.read(name).decode().split("\n") == [
        "[console_scripts]",
        "check-resource-server = better_auth_keys.testing.check.command:run",
        "",
        "[pytest11]",
        "better_auth_keys.testing.plugin = better_auth_keys.testing.plugin",
        "",
    ]


def test_library_is_imported_beside_a_users_own_keys_module(library: Path, tmp_path: Path) -> None:
    install(tmp_path / "site", library)
    (tmp_path / "keys.py").write_text("raise SystemExit('the wrong module')\n")
    program = "import better_auth_keys; print(better_auth_keys.__file__)"
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    done = run(sys.executable, "-c", program, cwd=tmp_path, environment=environment)
    assert done.stdout.startswith(str(tmp_path / "site")), done.stderr


def test_application_wheel_holds_no_proofs_and_no_development_stack(application: Path) -> None:
    names = names_in(application)
    assert {name.partition("/")[0] for name in names} == {
        "better_auth_resource_server.py",
        "scripts",
        "service",
    }
    assert {name for name in names if name.startswith("scripts/")} == {
        path.relative_to(ROOT).as_posix()
        for path in [ROOT / "scripts/__init__.py", *(ROOT / "scripts/operations").rglob("*.py")]
    }
    assert "service/migrations/versions/0001_tasks.py" in names


def test_operations_run_on_what_the_application_wheel_holds(
    application: Path, library: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    install(site, library, application)
    program = "from better_auth_resource_server import {0}; {0}()"
    environment = {"PYTHONPATH": str(site), "MIGRATION_DATABASE_URL": ""}
    for command in ("check_config", "migrate", "purge", "revoke_tokens", "rotate_keys"):
        python = [sys.executable, "-c", program.format(command), "--help"]
        done = run(*python, cwd=tmp_path, environment=environment)
        assert (done.returncode, done.stderr) == (0, ""), command


@pytest.mark.parametrize("command", ["better_auth_resource_server", "ops"])
def test_commands_run_our_code_where_another_wheel_has_the_same_names(
    foreign: Path, tmp_path: Path, command: str
) -> None:
    site = tmp_path / "site"
    install(site, foreign)
    # As in an environment with this checkout installed in place: site-packages come first.
    (site / "better_auth_resource_server.py").symlink_to(ROOT / "better_auth_resource_server.py")
    program = "from better_auth_resource_server import migrate; migrate()"
    if command == "ops":
        home = tmp_path / "home"
        home.mkdir()
        (home / "operators.env").write_text("MIGRATION_DATABASE_URL=''\n")
        program = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r});"
            " from scripts.devstack.ops_command import main;"
            f" main(['--home', {str(home)!r}, *sys.argv[1:]])"
        )
    arguments = ["migrate", "--execute"] if command == "ops" else ["--execute"]
    environment = {"PYTHONPATH": str(site), "MIGRATION_DATABASE_URL": ""}
    python = [sys.executable, "-c", program, *arguments]
    done = run(*python, cwd=tmp_path, environment=environment)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("migrate: MIGRATION_DATABASE_URL: not set")
