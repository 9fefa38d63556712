"""Write the service's OpenAPI document and the types that web/ has of it.

    python -m scripts.documents.openapi

Writes docs/openapi.json and web/lib/service.ts; a test fails where either is out of date.
Exit codes: 0 done, 1 failed.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx

from scripts.setup.bootstrap import ROOT, VENV, WEB
from scripts.setup.node_runtime import find_node
from service.app import create_app
from service.settings.model import Settings

DOCUMENT: Final = ROOT / "docs" / "openapi.json"
TYPES: Final = WEB / "lib" / "service.ts"


class GenerateError(Exception):
    """The types could not be generated; the message is one line."""


def main() -> int:
    """Write both; give the exit code."""
    DOCUMENT.write_text(render(asyncio.run(read_document())), encoding="utf-8")
    try:
        generate_types(TYPES)
    except GenerateError as error:
        print(f"scripts.documents.openapi: {error}", file=sys.stderr)
        return 1
    print(f"wrote {DOCUMENT.relative_to(ROOT)} and {TYPES.relative_to(ROOT)}")
    return 0


async def read_document() -> dict[str, Any]:
    """Ask the service for its document; nothing of it depends on settings or on a database."""
    settings = Settings(
        environment="development",
        database_url="postgresql://app@127.0.0.1/none",
        better_auth_url="http://127.0.0.1",
    )
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
        return document


def render(document: dict[str, Any]) -> str:
    """Write a document as it is kept."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def generate_types(target: Path) -> None:
    """Generate the types from the kept document. Raises `GenerateError`."""
    node = find_node(VENV)
    if node is None:
        raise GenerateError("Node.js is needed for the types of web/; run ./scripts/test once")
    program = WEB / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
    command = [str(node.node), str(program), str(DOCUMENT), "--output", str(target)]
    done = subprocess.run(
        # A member with a default may be left out of a request.
        [*command, "--immutable", "--alphabetize", "--default-non-nullable=false"],
        cwd=WEB,
        env=node.environment(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise GenerateError((done.stderr or done.stdout).strip().rpartition("\n")[2])


if __name__ == "__main__":
    sys.exit(main())
