"""Models of OpenAPI that are built when they are first used, as in `python -m service`."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
from service.http.openapi_models import import_fastapi
import_fastapi()
from fastapi.openapi.models import OpenAPI
from scripts.documents.openapi import read_document, render
from service.tasks.schemas import TaskWrite
import asyncio, json
before = OpenAPI.__pydantic_complete__, TaskWrite.__pydantic_complete__
document = render(asyncio.run(read_document()))
print(json.dumps([*before, OpenAPI.__pydantic_complete__, document]))
"""


def test_only_fastapis_models_are_built_late_and_the_document_is_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=ROOT
    )
    openapi_before, task_before, openapi_after, document = json.loads(done.stdout)
    assert not openapi_before
    assert task_before
    assert openapi_after
    assert document == (ROOT / "docs" / "openapi.json").read_text()
