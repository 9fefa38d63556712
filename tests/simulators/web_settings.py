"""The settings readers of web/, run by Node."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from scripts.setup.checkout import VENV
from scripts.setup.node_runtime import find_node

_PROGRAM: Final = Path(__file__).with_suffix(".cjs")


def ask_web(questions: Sequence[object], **environment: str | bytes) -> list[dict[str, Any]]:
    """Return the reader's answer to each question."""
    node = find_node(VENV)
    assert node is not None, "run ./scripts/test once, it installs Node and web/'s packages"
    done = subprocess.run(
        [str(node.node), str(_PROGRAM)],
        env={"PATH": os.environ["PATH"], **environment},
        input=json.dumps(questions).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers
