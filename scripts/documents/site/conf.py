"""The configuration of Sphinx; `python -m scripts.documents.site` runs it."""

from pathlib import Path
from typing import Protocol

from scripts.documents.site import pages

_CHECKOUT = Path(__file__).resolve().parents[3]

project = "Better Auth resource server"
root_doc = pages.HOME
include_patterns = list(pages.PATTERNS)
extensions = ["myst_parser", "sphinx.ext.autodoc"]
# The anchors of headings are those of the repository's host, so links work in both places.
myst_heading_anchors = 4
# Docstrings write `name` for code, as Markdown does.
default_role = "literal"
# The names are public ones of the package; the module that defines them is not part of the API.
add_module_names = False
autodoc_member_order = "groupwise"
autodoc_typehints_format = "short"
html_theme = "furo"
html_title = project
html_show_copyright = False
# A link to a page's Markdown: llms.txt leads there.
html_copy_source = True


class _Sphinx(Protocol):
    """What `setup` uses of Sphinx, which is not among the packages of the project."""

    def connect(self, event: str, callback: object) -> int:
        """Call `callback` at an event."""
        ...


def setup(app: _Sphinx) -> None:
    """Add the tables of contents, which the Markdown files do not have."""
    app.connect("source-read", _add_contents)


def _add_contents(_app: object, document: str, source: list[str]) -> None:
    source[0] += pages.contents(document, _CHECKOUT)
