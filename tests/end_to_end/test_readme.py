"""The README's own story, run as it stands there, with this run's ports."""

import json
import re
import subprocess
from pathlib import Path

from tests.end_to_end.conftest import Stack

README = Path(__file__).resolve().parent.parent.parent / "README.md"
OPS = re.compile(r"<!-- ops:.*?-->\n```sh\n(.*?)```", re.DOTALL)
REVOKE = re.compile(r"<!-- revoke:.*?-->\n```sh\n(.*?)```", re.DOTALL)
STORY = re.compile(r"<!-- story:.*?-->\n```sh\n(.*?)```", re.DOTALL)


def test_story_by_curl_works_as_it_is_told(stack: Stack) -> None:
    story = STORY.search(README.read_text())
    assert story is not None
    script = story.group(1).replace("http://localhost:3000", stack.web)
    script = script.replace("http://localhost:8000", stack.api)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, check=True
    )
    created, listed = (json.loads(text) for text in done.stdout.replace("}{", "}\n{").splitlines())
    assert created["title"] == "Read the README"
    assert listed == {"items": [created], "next_cursor": None}


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
