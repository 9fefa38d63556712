"""Write the service's OpenAPI document, and the TypeScript types of web/ for it.

    python -m scripts.documents.openapi

Writes docs/openapi.json and web/lib/service.ts; a test fails if either is out of date.
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

from scripts.operations.exit_codes import DONE, fail
from scripts.setup.checkout import CHECKOUT, VENV, WEB
from scripts.setup.node_runtime import find_node
from service.app import create_app
from service.settings.model import Settings

DOCUMENT: Final = CHECKOUT / "docs" / "openapi.json"
TYPES: Final = WEB / "lib" / "service.ts"


class GenerateError(Exception):
    """The types could not be generated. The message is one line."""


def main() -> int:
    """Write both, and return the exit code."""
    DOCUMENT.write_text(render(asyncio.run(read_document())), encoding="utf-8")
    try:
        generate_types(TYPES)
    except GenerateError as error:
        return fail("scripts.documents.openapi", error)
    print(f"wrote {DOCUMENT.relative_to(CHECKOUT)} and {TYPES.relative_to(CHECKOUT)}")
    return DONE


async def read_document() -> dict[str, Any]:
    """Return the service's document. It does not depend on settings or a database."""
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
    """Return a document as the text of its file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def generate_types(target: Path) -> None:
    """Generate the types from the document's file. Raises `GenerateError`."""
    node = find_node(VENV)
    if node is None:
        raise GenerateError("the types of web/ need Node.js; run ./scripts/test once to install it")
    program = WEB / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
    command = [str(node.node), str(program), str(DOCUMENT), "--output", str(target)]
    done = subprocess.run(
        # A member with a default is optional in a request.
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
