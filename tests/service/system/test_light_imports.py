"""Imports that leave out what a start does not need, as in `python -m service`."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FASTAPI = """
from service.system.light_imports import import_fastapi
import_fastapi()
from fastapi.openapi.models import OpenAPI
from scripts.documents.openapi import read_document, render
from service.tasks.schemas import TaskWrite
import asyncio, json
before = OpenAPI.__pydantic_complete__, TaskWrite.__pydantic_complete__
document = render(asyncio.run(read_document()))
print(json.dumps([*before, OpenAPI.__pydantic_complete__, document]))
"""
HTTPX = """
from service.system.light_imports import import_httpx
import_httpx()
import httpx, json, sys
before = [name for name in ("rich", "pygments", "httpx._main") if name in sys.modules]
import httpx._main
print(json.dumps([before, httpx.AsyncClient.__module__, callable(httpx._main.main)]))
"""


def result_of(program: str) -> list[object]:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found: list[object] = json.loads(done.stdout)
    return found


def test_only_fastapis_models_are_built_late_and_the_document_is_the_same() -> None:
    openapi_before, task_before, openapi_after, document = result_of(FASTAPI)
    assert not openapi_before
    assert task_before
    assert openapi_after
    assert document == (ROOT / "docs" / "openapi.json").read_text()


def test_httpx_is_imported_without_its_command_line_which_can_be_imported_later() -> None:
    assert result_of(HTTPX) == [[], "httpx", True]


def test_service_starts_without_what_only_commands_need() -> None:
    program = """
import json, sys
from service.__main__ import import_application
import_application()
print(json.dumps([name for name in ("rich", "pygments", "httpx._main") if name in sys.modules]))
"""
    assert result_of(program) == []
