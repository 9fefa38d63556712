"""Workflows of the repository's host: least rights, pinned actions, and programs that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def parsed(workflow: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(workflow.read_text())
    return found


def steps_of(workflow: Path) -> list[dict[str, Any]]:
    return [step for job in parsed(workflow)["jobs"].values() for step in job["steps"]]


def test_there_are_workflows() -> None:
    assert WORKFLOWS


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_can_only_read_the_repository(workflow: Path) -> None:
    assert parsed(workflow)["permissions"] == {"contents": "read"}
    for job in parsed(workflow)["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"] <= 30
    checkouts = [step for step in steps_of(workflow) if "checkout" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_to_a_commit(workflow: Path) -> None:
    used = [step["uses"] for step in steps_of(workflow) if "uses" in step]
    assert [name for name in used if not re.fullmatch(r"[\w/.-]+@[0-9a-f]{40}", name)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_programs_of_a_workflow_exist(workflow: Path) -> None:
    commands = "\n".join(step.get("run", "") for step in steps_of(workflow))
    modules = re.findall(r"python -m ([\w.]+)", commands)
    files = re.findall(r"(?:\./)?((?:scripts|tests)/[\w/.]+)", commands)
    assert modules or files
    assert all((ROOT / module.replace(".", "/")).exists() for module in modules)
    assert all((ROOT / file).exists() for file in files)
