"""What is released: the library and the service, each with a version, a changelog and a tag.

A version stands in one file, and everything else reads it there. Standard library only.
"""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NUMBER: Final = re.compile(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?")
_ASSIGNMENT: Final = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)


class ReleaseError(Exception):
    """The release cannot be built. The message is one line that says what to do."""


@dataclass(frozen=True)
class Product:
    """A product, with paths relative to the checkout."""

    name: str
    project: str
    version_file: str
    changelog: str

    def version(self, checkout: Path) -> str:
        """Return the version of the product. Raises `ReleaseError`."""
        text = (checkout / self.version_file).read_text(encoding="utf-8")
        if self.version_file.endswith(".toml"):
            found = str(tomllib.loads(text)["project"]["version"])
        else:
            assignment = _ASSIGNMENT.search(text)
            found = "" if assignment is None else assignment[1]
        if _NUMBER.fullmatch(found) is None:
            raise ReleaseError(f"{self.version_file}: the version must have the form 1.2.3")
        return found

    def tag(self, checkout: Path) -> str:
        """Return the tag of the product's release, such as `service-v1.2.3`."""
        return f"{self.name}-v{self.version(checkout)}"

    def notes(self, checkout: Path, section: str) -> str:
        """Return a section of the changelog, without its heading. Raises `ReleaseError`."""
        text = (checkout / self.changelog).read_text(encoding="utf-8")
        date = "" if section == UNRELEASED else r" - \d{4}-\d\d-\d\d"
        heading = f"^## {re.escape(section)}{date}$"
        found = re.search(rf"{heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        wanted = section if section == UNRELEASED else f"{section} - YEAR-MONTH-DAY"
        if found is None:
            raise ReleaseError(f"{self.changelog} has no section `## {wanted}`: add it")
        if not found[1].strip():
            raise ReleaseError(f"{self.changelog}: the section `## {wanted}` is empty")
        return found[1].strip() + "\n"


UNRELEASED: Final = "Unreleased"
LIBRARY: Final = Product("better-auth-keys", "keys", "keys/pyproject.toml", "keys/CHANGELOG.md")
SERVICE: Final = Product("service", ".", "service/__init__.py", "CHANGELOG.md")
PRODUCTS: Final = (LIBRARY, SERVICE)


def product_of(tag: str, checkout: Path) -> Product:
    """Return the product that a tag releases. Raises `ReleaseError`."""
    for product in PRODUCTS:
        if tag == product.tag(checkout):
            return product
    expected = " or ".join(product.tag(checkout) for product in PRODUCTS)
    raise ReleaseError(
        f"the tag {tag} does not fit the versions in this commit: expected {expected}"
    )
