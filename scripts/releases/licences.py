"""List the licences of everything that is distributed, and check them against an allow-list.

    python -m scripts.releases.licences

What is distributed are the packages in the images and those that the library requires. Python's
licences are read from the installed packages, and npm's from web/package-lock.json. Packages that
only development uses are not checked. Exit codes: 0 all allowed, 1 not allowed or unknown, 2 usage.
"""

import importlib.metadata
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter

from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, fail
from scripts.setup.checkout import CHECKOUT

# All permissive, except MPL-2.0: it covers its own files, which we do not change.
ALLOWED: Final = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "MIT",
        "MIT-0",
        "MPL-2.0",
        "PSF-2.0",
    }
)
# Licences that single packages may have, by a pattern of names, and why.
EXCEPTIONS: Final[Mapping[str, tuple[str, str]]] = {
    r"@img/sharp-.*": (
        "LGPL-3.0-or-later",
        "a shared library beside sharp, which anyone can replace",
    ),
    r"caniuse-lite": ("CC-BY-4.0", "data about browsers, which names its source"),
}
# Packages whose metadata has a text in place of an SPDX expression.
_READ_BY_A_PERSON: Final = {
    "3-Clause BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "License :: OSI Approved :: MIT License": "MIT",
}
_FIELDS: Final = ("License-Expression", "License")
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*([^\\\n]+))?", re.MULTILINE)
_LOCK: Final = TypeAdapter(dict[str, Any])


class Licensed(NamedTuple):
    """A package and its licence, as an SPDX expression."""

    source: str
    name: str
    version: str
    licence: str


def main(argv: Sequence[str] | None = None) -> int:
    """List the licences and return the exit code."""
    Parser("licences", __doc__).parse_args(argv)
    packages = [*python_packages(CHECKOUT), *npm_packages(CHECKOUT)]
    for package in packages:
        print(*package, sep="\t")
    refused = [package for package in packages if not is_allowed(package)]
    if refused:
        names = ", ".join(f"{package.name} ({package.licence})" for package in refused)
        return fail(
            "licences", f"not allowed: {names}; see ALLOWED in scripts/releases/licences.py"
        )
    return DONE


def is_allowed(package: Licensed) -> bool:
    """Return whether a package may be distributed."""
    allowed = set(ALLOWED)
    for pattern, (licence, _) in EXCEPTIONS.items():
        if re.fullmatch(pattern, package.name):
            allowed.add(licence)
    return _fits(package.licence, allowed)


def _fits(expression: str, allowed: set[str]) -> bool:
    """Return whether an SPDX expression can be fulfilled with allowed licences only."""
    flat = re.sub(
        r"\(([^()]*)\)", lambda part: "0BSD" if _fits(part[1], allowed) else "refused", expression
    )
    if flat != expression:
        return _fits(flat, allowed)
    # AND binds more strongly than OR.
    return any(
        all(licence.strip() in allowed for licence in choice.split(" AND "))
        for choice in expression.split(" OR ")
    )


def python_packages(checkout: Path) -> Iterator[Licensed]:
    """Yield the Python packages of the service's image. They must be installed."""
    lock = (checkout / "docker" / "requirements-service.lock").read_text(encoding="utf-8")
    for name, version, marker in _PIN.findall(lock):
        try:
            metadata = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            if marker:
                continue  # It is for another Python or another system.
            raise
        if metadata["Version"] != version and marker:
            continue  # Another Python gets another version.
        given = [metadata[field] for field in _FIELDS if field in metadata]
        # Older metadata may have it as a classifier only.
        given += [c for c in metadata.get_all("Classifier", []) if c.startswith("License ::")]
        licence = given[0] if given else "unknown"
        yield Licensed("python", name, version, _READ_BY_A_PERSON.get(licence, licence))


def npm_packages(checkout: Path) -> Iterator[Licensed]:
    """Yield the npm packages of web/ without those that only development uses."""
    lock = _LOCK.validate_json((checkout / "web" / "package-lock.json").read_bytes())
    for path, package in lock["packages"].items():
        if path and not package.get("dev"):
            name = path.rpartition("node_modules/")[2]
            yield Licensed("npm", name, package["version"], package.get("license", "unknown"))


if __name__ == "__main__":
    sys.exit(main())
