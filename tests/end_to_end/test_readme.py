"""The README's own story, run as it stands there, with this run's ports."""

import json
import re
import subprocess
from pathlib import Path

import httpx

from tests.end_to_end.conftest import Stack

README = Path(__file__).resolve().parent.parent.parent / "README.md"
OPS = re.compile(r"<!-- ops:.*?-->\n```sh\n(.*?)```", re.DOTALL)
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
    lines = OPS.search(README.read_text())
    assert lines is not None
    status, publish, run, revoke = lines.group(1).strip().splitlines()

    def operate(line: str, **words: str) -> "subprocess.CompletedProcess[str]":
        for word, text in words.items():
            line = line.replace(word, text)
        line = line.replace("./scripts/ops", f"./scripts/ops --home {home}")
        return subprocess.run(
            ["bash", "-c", line], cwd=README.parent, capture_output=True, text=True, check=False
        )

    assert operate(publish).stdout.startswith("published  ")
    told = operate(status).stdout
    (kid,) = re.findall(r"^(\S{32}) .* active ", told, re.MULTILINE)
    assert "pre-activation" in told
    done = operate(run)
    assert (done.returncode, "nothing is due" in done.stderr) == (3, True)
    assert operate(revoke, KID=kid).stdout.endswith(f"revoked  {kid} (EdDSA)\n")
    assert kid not in operate(status).stdout
    assert stack.process.poll() is None
