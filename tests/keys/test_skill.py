"""The example of the agent skill: its own tests pass, and it passes `check-resource-server`."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from better_auth_keys.testing.check.command import main
from scripts.devstack.network import accepts, free_ports
from scripts.setup.checkout import CHECKOUT
from tests.scripts.waiting import eventually

SKILL = (CHECKOUT / "docs/skills/better-auth-python/SKILL.md").read_text()
EXAMPLE, TESTS = re.findall(r"```python\n(.*?)```", SKILL, re.DOTALL)
OPTIONS = ["--audience", "https://api.example.com", "--algorithms", "EdDSA,RS256"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHECKOUT / "keys")}


def test_skill_has_a_name_and_a_description() -> None:
    found = re.match(r"---\nname: (.+)\ndescription: (.+)\n---\n", SKILL)
    assert found is not None
    assert found[1] == "better-auth-python"
    assert len(found[2]) <= 1024


def test_command_has_the_options_that_are_tested() -> None:
    assert " ".join(OPTIONS) in " ".join(SKILL.replace("\\\n", "").split())


@pytest.mark.slow
def test_tests_of_the_example_pass(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(EXAMPLE)
    (tmp_path / "test_main.py").write_text(TESTS)
    options = ["-q", "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_main.py"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


@contextmanager
def example(folder: Path, issuer_port: int) -> Iterator[str]:
    """Serve the example with the played issuer as its Better Auth."""
    issuer = f"http://127.0.0.1:{issuer_port}"
    (folder / "main.py").write_text(EXAMPLE.replace("https://app.example.com", issuer))
    [port] = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "main:app", "--port", str(port), "--no-access-log"],
        cwd=folder,
        env=ENVIRONMENT,
    )
    try:
        assert eventually(lambda: accepts(port))
        yield f"http://127.0.0.1:{port}/me"
    finally:
        process.terminate()
        process.wait()


@pytest.mark.slow
def test_example_passes_the_check_of_a_resource_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    [port] = free_ports(1)
    with example(tmp_path, port) as url:
        code = main([url, "--issuer-port", str(port), *OPTIONS])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("fail")] == []
    assert code == 0
    # Those of several algorithms, of scopes, of OAuth tokens and of DPoP proofs.
    assert lines[-1].endswith("; 12 not applicable")
