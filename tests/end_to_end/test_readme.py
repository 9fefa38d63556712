"""The commands of the README, run as they are written, with this run's ports."""

import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.conftest import Stack

pytestmark = pytest.mark.slow

README = Path(__file__).resolve().parent.parent.parent / "README.md"
OPS = re.compile(r"<!-- ops:.*?-->\n```sh\n(.*?)```", re.DOTALL)
REVOKE = re.compile(r"<!-- revoke:.*?-->\n```sh\n(.*?)```", re.DOTALL)
STORY = re.compile(r"<!-- story:.*?-->\n```sh\n(.*?)```", re.DOTALL)


def test_story_by_curl_works_as_it_is_told_and_a_second_time(stack: Stack) -> None:
    story = STORY.search(README.read_text())
    assert story is not None
    script = story.group(1).replace("http://localhost:3000", stack.web)
    script = script.replace("http://localhost:8000", stack.api)
    kept: list[object] = []
    for _ in range(2):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, check=True
        )
        created, listed = map(json.loads, done.stdout.replace("}{", "}\n{").splitlines())
        assert created["title"] == "Read the README"
        kept.insert(0, created)
        assert listed == {"items": kept, "next_cursor": None}


def test_account_of_the_story_is_the_example_of_the_docs(stack: Stack) -> None:
    document = httpx.get(f"{stack.api}/openapi.json", trust_env=False).json()
    fields = document["components"]["schemas"]["Login"]["properties"]
    login = {name: field["examples"][0] for name, field in fields.items()}
    story = STORY.search(README.read_text())
    assert story is not None
    assert f"'{json.dumps(login)}'" in story.group(1)


def test_operators_lines_do_what_stands_beside_them(stack: Stack, home: Path) -> None:
    def operate(block: re.Pattern[str], **words: str) -> "subprocess.CompletedProcess[str]":
        lines = block.search(README.read_text())
        assert lines is not None
        script = lines.group(1).replace("./scripts/ops", f"./scripts/ops --home {home}")
        for word, text in words.items():
            script = script.replace(word, text)
        return subprocess.run(
            ["bash", "-c", script], cwd=README.parent, capture_output=True, text=True, check=False
        )

    rotated = operate(OPS)
    assert rotated.returncode == 0, rotated.stderr
    old, *_, new = re.findall(r"^(\S{32}) .* active ", rotated.stdout, re.MULTILINE)
    before, _, after = rotated.stdout.partition(f"published  {new} (EdDSA)\n")
    assert new not in before
    assert f"activated  {new} (EdDSA)\nretired  {old} (EdDSA)\n" in after
    assert re.search(rf"^{old} .* deactivated .* safe to remove from", after, re.MULTILINE)
    done = operate(REVOKE, KID=new)
    assert "nothing is due" in done.stderr
    assert done.stdout.endswith(f"revoked  {new} (EdDSA)\n")
    assert stack.process.poll() is None
