"""A scan finds what is known, and fails if it could not ask."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.releases.advisories import Run, locks, main, scan
from scripts.releases.products import ReleaseError
from scripts.setup.checkout import CHECKOUT

TOOLS = Path("/tools")
PYTHON_LOCK = CHECKOUT / "requirements.lock"
NPM_LOCK = CHECKOUT / "web" / "package-lock.json"
VULNERABLE = {"id": "PYSEC-1", "fix_versions": ["2.0"], "aliases": []}


def answering(report: object) -> Run:
    def run(_command: Sequence[str], _folder: Path) -> str:
        return json.dumps(report)

    return run


def package(**fields: object) -> dict[str, object]:
    return {"dependencies": [{"name": "example", **fields}], "fixes": []}


def test_every_lock_of_the_repository_is_scanned() -> None:
    command = ["git", "ls-files", "*.lock", "*package-lock.json"]
    tracked = subprocess.check_output(command, cwd=CHECKOUT, text=True).split()
    assert {CHECKOUT / name for name in tracked} == {*locks(CHECKOUT)}


def test_vulnerability_of_a_python_package_is_found() -> None:
    report = package(version="1.0", vulns=[VULNERABLE])
    assert scan(PYTHON_LOCK, TOOLS, answering(report)) == ["example 1.0: PYSEC-1, fixed in 2.0"]
    assert scan(PYTHON_LOCK, TOOLS, answering(package(version="1.0", vulns=[]))) == []


def test_vulnerability_of_an_npm_package_is_found() -> None:
    report = {"vulnerabilities": {"example": {"range": "<2", "severity": "high"}}}
    assert scan(NPM_LOCK, TOOLS, answering(report)) == ["example <2: high"]
    assert scan(NPM_LOCK, TOOLS, answering({"vulnerabilities": {}})) == []


@pytest.mark.parametrize(
    ("lock", "report"),
    [
        (PYTHON_LOCK, package(skip_reason="Dependency not found on PyPI")),
        (PYTHON_LOCK, {"dependencies": []}),
        (PYTHON_LOCK, "no report"),
        (NPM_LOCK, {"message": "405 Method Not Allowed"}),
        (NPM_LOCK, []),
    ],
    ids=["skipped", "empty", "unreadable", "npm-refused", "npm-unreadable"],
)
def test_lock_that_could_not_be_checked_is_an_error(lock: Path, report: object) -> None:
    with pytest.raises(ReleaseError):
        scan(lock, TOOLS, answering(report))


def test_command_fails_if_nothing_could_be_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("scripts.releases.advisories.provide_tools", lambda: TOOLS)
    monkeypatch.setattr("scripts.releases.advisories.run", answering({"message": "no"}))
    assert main([]) == 1
    output = capsys.readouterr()
    assert "web/package-lock.json: npm audit failed: no" in output.out
    assert "0 vulnerabilities are known" in output.err
