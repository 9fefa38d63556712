"""`./scripts/test` checks the workflows and Dockerfiles, and finds mistakes in them."""

import subprocess
from pathlib import Path

import pytest

from scripts.setup.checkout import CHECKOUT, VENV
from scripts.setup.node_runtime import find_node
from scripts.setup.suite import checks

WORKFLOW = """\
name: Bad
on: push
permissions:
  contents: read
jobs:
  bad:
    runs-on: ubuntu-24.04
    steps:
      - run: {command}
"""
# Each linter, what it checks, and a file with a mistake and its name in the linter's output.
CASES = {
    "actionlint": (".github/workflows/", WORKFLOW.format(command="echo ${{ github.no_such }}")),
    "zizmor": (".github", WORKFLOW.format(command="echo ${{ github.event.issue.title }}")),
    "hadolint": ("docker/", "FROM docker.io/library/debian\nRUN cd /tmp && sudo true\n"),
}
FOUND = {"actionlint": "no_such", "zizmor": "template-injection", "hadolint": "DL3004"}


def command_of(linter: str) -> list[str]:
    node = find_node(VENV)
    assert node is not None
    command, folder = checks(node, quick=True)[linter]
    assert folder == CHECKOUT
    return command


@pytest.mark.parametrize("linter", CASES)
def test_mistake_is_found_by_linter(linter: str, tmp_path: Path) -> None:
    checked, text = CASES[linter]
    file = tmp_path / "bad.yml"
    file.write_text(text)
    command = [part for part in command_of(linter) if checked not in part]
    assert len(command) < len(command_of(linter))
    done = subprocess.run(
        [*command, str(file)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert FOUND[linter] in done.stdout, done.stderr


def test_every_workflow_and_dockerfile_is_checked() -> None:
    workflows = {str(path) for path in CHECKOUT.glob(".github/workflows/*")}
    assert workflows <= {*command_of("actionlint")}
    assert command_of("zizmor")[-1] == ".github"
    listing = subprocess.check_output(["git", "ls-files", "*Dockerfile*"], cwd=CHECKOUT, text=True)
    dockerfiles = {str(CHECKOUT / name) for name in listing.split()}
    assert dockerfiles
    assert dockerfiles <= {*command_of("hadolint")}
