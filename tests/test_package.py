"""The wheel that others install: complete, typed, and of use by its commands."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {
        "keys",
        "service",
        "scripts",
        "better_auth_resource_server",
    }
    assert {"keys/better_auth_keys/py.typed", "service/migrations/versions/0001_tasks.py"} <= set(
        names
    )


def test_base_requirements_are_those_of_keys_alone(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
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


def test_migrate_runs_from_the_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, tmp_path, wheel], check=True, capture_output=True)
    program = "from scripts.migrate import main; raise SystemExit(main())"
    environment = {"PYTHONPATH": str(tmp_path), "MIGRATION_DATABASE_URL": ""}
    done = subprocess.run(
        [sys.executable, "-c", program, "--execute"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("migrate: MIGRATION_DATABASE_URL: not set")
