"""Workflows of the repository's host: least rights, pinned actions, and programs that exist."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
RENOVATE = json.loads((ROOT / ".github" / "renovate.json").read_bytes())
# The only jobs with more than the right to read: they publish a release.
MAY_WRITE = {
    ("release", "library"): {"contents": "read", "id-token": "write", "attestations": "write"},
    ("release", "images"): {
        "contents": "read",
        "packages": "write",
        "id-token": "write",
        "attestations": "write",
    },
    ("release", "announce"): {"contents": "write"},
}


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
    for name, job in parsed(workflow)["jobs"].items():
        assert job.get("permissions") == MAY_WRITE.get((workflow.stem, name))
        assert job["timeout-minutes"] <= 30
    checkouts = [step for step in steps_of(workflow) if "checkout" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_jobs_that_may_write_publish_what_another_job_built() -> None:
    jobs = parsed(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    assert set(jobs) == {"build", *(name for _, name in MAY_WRITE)}
    for _, name in MAY_WRITE:
        assert "github.event_name == 'push'" in jobs[name]["if"], "a dry run publishes nothing"
        assert not [step for step in jobs[name]["steps"] if "checkout" in step.get("uses", "")]
    for name in ("library", "images"):
        assert jobs[name]["needs"] == "build"
        assert jobs[name]["environment"]


def test_library_is_published_without_a_password_and_with_attestations() -> None:
    jobs = parsed(ROOT / ".github" / "workflows" / "release.yml")["jobs"]
    (publish,) = [s for s in jobs["library"]["steps"] if "pypi-publish" in s.get("uses", "")]
    assert publish["with"] == {"packages-dir": "dist", "attestations": True}


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
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), module
    assert all((ROOT / file).exists() for file in files)


def test_pins_of_actions_are_those_that_contributing_names() -> None:
    used = {
        (name, version)
        for workflow in WORKFLOWS
        for name, version in re.findall(
            r"uses: ([\w/-]+)@[0-9a-f]{40} # (\S+)", workflow.read_text()
        )
    }
    table = re.findall(r"^\| ([\w-]+/[\w-]+) \| (v\S+) \|", CONTRIBUTING, re.MULTILINE)
    assert sorted(used) == sorted(table)


def test_renovate_leaves_pythons_locks_alone() -> None:
    assert set(RENOVATE["enabledManagers"]) == {"github-actions", "npm", "custom.regex"}


def test_renovate_finds_a_base_image_in_all_of_its_places() -> None:
    (manager,) = RENOVATE["customManagers"]
    files = [pattern.strip("/").replace("\\/", "/") for pattern in manager["managerFilePatterns"]]
    listing = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    names = [name for name in listing if any(re.search(file, name) for file in files)]
    (expression,) = (text.replace("(?<", "(?P<") for text in manager["matchStrings"])
    places: dict[str, set[str]] = {}
    for name in names:
        for found in re.finditer(expression, (ROOT / name).read_text()):
            places.setdefault(found["depName"], set()).add(name.partition("/")[0])
    assert {image.rpartition("/")[2] for image in places} == {"python", "node", "caddy", "postgres"}
    for image, folders in places.items():
        built = set() if image.endswith("/postgres") else {"docker"}
        assert folders == {"docker-compose.yml", "scripts"} | built
