"""Plain English: docstrings begin with the usual verbs, and prose avoids a few words."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("keys", "service", "scripts", "benchmarks", "tests")
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
# Write "Return", "Create", "Check" or "Raise" instead.
UNUSUAL_VERB = re.compile(r"(?:Gives?|Tells?|Says?|Ha(?:ve|s|d))\b")
UNUSUAL_WORD = re.compile(r"\bwho(?:m|ever|mever)\b", re.IGNORECASE)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def docstrings(source: str) -> Iterator[str]:
    """Yield the docstrings of definitions and attributes: each text that is a statement."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.value.value.strip()


def comments(source: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_docstrings_begin_with_usual_verbs(path: Path) -> None:
    found = [text for text in docstrings(path.read_text()) if UNUSUAL_VERB.match(text)]
    assert found == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_docstrings_and_comments_use_everyday_words(path: Path) -> None:
    source = path.read_text()
    prose = [*docstrings(source), *comments(source)]
    assert [text for text in prose if UNUSUAL_WORD.search(text)] == []
