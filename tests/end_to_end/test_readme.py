"""The README's own story, run as it stands there, with this run's ports."""

import json
import re
import subprocess
from pathlib import Path

from tests.end_to_end.conftest import Stack

README = Path(__file__).resolve().parent.parent.parent / "README.md"
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
