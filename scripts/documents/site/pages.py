"""The pages of the site, in the order of its side bar. Standard library only: Sphinx loads it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

HOME: Final = "README"
"""The page that the site starts with."""
SECTIONS: Final[Mapping[str, Sequence[str]]] = {
    "Library": (
        "keys/README",
        "docs/reference",
        "docs/skills/better-auth-python/SKILL",
        "keys/CHANGELOG",
    ),
    "Service": ("docs/api", "docs/web-app", "docs/settings", "docs/faq", "CHANGELOG"),
    "Operation": (
        "docs/running",
        "docs/kubernetes",
        "docs/scale",
        "docs/runbooks/README",
        "docs/cryptography",
        "SECURITY",
    ),
    "Evidence": (
        "docs/conformance",
        "docs/standards/README",
        "docs/comparison",
        "docs/faults",
        "docs/measurements",
        "docs/performance",
    ),
    "Development": (
        "docs/architecture",
        "CONTRIBUTING",
        "docs/releasing",
        "docs/decisions/README",
    ),
}
# The pages of a folder stand below the page that lists them.
FOLDERS: Final = {
    "docs/runbooks/README": "docs/runbooks",
    "docs/decisions/README": "docs/decisions",
    "docs/standards/README": "docs/standards",
}
PATTERNS: Final = (
    "*.md",
    "keys/*.md",
    "docs/*.md",
    "docs/decisions/*.md",
    "docs/runbooks/*.md",
    "docs/standards/*.md",
    "docs/skills/*/*.md",
)


def documents(checkout: Path) -> Iterator[str]:
    """Yield the names of all pages: their paths in the checkout, without `.md`."""
    for pattern in PATTERNS:
        for path in sorted(checkout.glob(pattern)):
            yield path.relative_to(checkout).with_suffix("").as_posix()


def contents(document: str, checkout: Path) -> str:
    """Return the tables of contents for the end of a page, in MyST's Markdown."""
    if document == HOME:
        return "".join(_contents(caption, pages) for caption, pages in SECTIONS.items())
    folder = FOLDERS.get(document)
    if folder is None:
        return ""
    pages = [
        name
        for name in documents(checkout)
        if name.rpartition("/")[0] == folder and name != document
    ]
    return _contents(None, pages)


def _contents(caption: str | None, pages: Sequence[str]) -> str:
    title = [] if caption is None else [f":caption: {caption}"]
    # A leading slash makes the names independent of the page.
    lines = ["", "```{toctree}", ":hidden:", *title, "", *(f"/{page}" for page in pages), "```"]
    return "\n".join(lines) + "\n"
