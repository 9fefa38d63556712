"""The committed OpenAPI document matches the service."""

from pathlib import Path

from scripts.documents.openapi import DOCUMENT, TYPES, generate_types, read_document, render

CURE = "run: python -m scripts.documents.openapi"


async def test_committed_document_is_the_services() -> None:
    assert DOCUMENT.read_text() == render(await read_document()), CURE


def test_types_of_web_are_those_of_the_committed_document(tmp_path: Path) -> None:
    generated = tmp_path / "service.ts"
    generate_types(generated)
    assert TYPES.read_text() == generated.read_text(), CURE
