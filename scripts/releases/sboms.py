"""Software bills of materials (SBOMs) in the format CycloneDX, for Python, npm and the images.

The one of Python lists an environment that is installed as in the service's image. The one of npm
lists what web/package-lock.json installs without development packages. That of an image adds the
packages of its system to one of these. They have no random parts: those of one commit are equal.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pydantic import TypeAdapter

from scripts.devstack.settings import DEFAULT_HOME
from scripts.releases.licences import npm_packages
from scripts.releases.products import LIBRARY, SERVICE, ReleaseError
from scripts.releases.source_tree import Commit
from scripts.releases.tools import HOME, install, output_of, provide_tools
from scripts.setup.checkout import CHECKOUT, VENV, WEB
from scripts.setup.node_runtime import find_node
from scripts.setup.steps import SetUp, SetUpError

Sbom = dict[str, Any]
Package = tuple[str, str, str]
"""The type of a package's URL (such as `deb`), its name and its version."""

_SBOM: Final = TypeAdapter(Sbom)
_SERVICE_LOCK: Final = CHECKOUT / "docker" / "requirements-service.lock"
_DISTRIBUTION: Final = {"deb": "debian", "apk": "alpine"}


def python_sbom(commit: Commit, library: Path) -> Sbom:
    """Return the SBOM of the service with the wheel of the library. Raises `ReleaseError`."""
    cyclonedx = provide_tools() / "cyclonedx-py"
    environment = HOME / "service"
    try:
        with SetUp(DEFAULT_HOME) as steps, steps.task("environment for the SBOM"):
            install(steps, environment, "--no-deps", "-r", str(_SERVICE_LOCK), str(library))
    except SetUpError as error:
        raise ReleaseError(str(error)) from error
    command = [str(cyclonedx), "environment", "--output-reproducible", "--pyproject"]
    command += [str(CHECKOUT / "pyproject.toml"), str(environment / "bin" / "python")]
    seconds = {"SOURCE_DATE_EPOCH": str(commit.seconds), "PYTHONPATH": ""}
    sbom = _SBOM.validate_json(output_of(command, environment=seconds))
    sbom["metadata"]["component"]["version"] = SERVICE.version(CHECKOUT)
    own = next(part for part in sbom["components"] if part["name"] == LIBRARY.name)
    # Without the path of the wheel on this machine.
    own["externalReferences"] = [
        link for link in own["externalReferences"] if not link["url"].startswith("file:")
    ]
    own["purl"] = f"pkg:pypi/{own['name']}@{own['version']}"
    own["hashes"] = [{"alg": "SHA-256", "content": sha256(library.read_bytes()).hexdigest()}]
    return sbom


def npm_sbom(commit: Commit) -> Sbom:
    """Return the SBOM of web/. Raises `ReleaseError`."""
    node = find_node(VENV)
    if node is None:
        raise ReleaseError("Node.js is missing: ./scripts/test installs it")
    options = ["--sbom-format=cyclonedx", "--sbom-type=application"]
    command = [*node.npm, "sbom", "--package-lock-only", *options]
    sbom = _SBOM.validate_json(output_of(command, cwd=WEB))
    # npm's own --omit=dev also leaves out what both production and development need.
    kept = {f"{package.name}@{package.version}" for package in npm_packages(CHECKOUT)}
    parts = [part for part in sbom["components"] if f"{part['name']}@{part['version']}" in kept]
    references = {sbom["metadata"]["component"]["bom-ref"], *(part["bom-ref"] for part in parts)}
    sbom["components"] = parts
    sbom["dependencies"] = [
        {**entry, "dependsOn": [ref for ref in entry["dependsOn"] if ref in references]}
        for entry in sbom["dependencies"]
        if entry["ref"] in references
    ]
    # npm writes a random number, and the time at which it runs.
    del sbom["serialNumber"]
    sbom["metadata"]["timestamp"] = datetime.fromtimestamp(commit.seconds, UTC).isoformat()
    return sbom


def image_sbom(name: str, version: str, content: Sbom | None, system: Sequence[Package]) -> Sbom:
    """Return the SBOM of an image: what is installed in it, and the packages of its system."""
    sbom = content or {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}
    return sbom | {
        "metadata": {
            **sbom.get("metadata", {}),
            "component": {
                "bom-ref": f"image:{name}",
                "type": "container",
                "name": name,
                "version": version,
            },
        },
        "components": [*sbom.get("components", []), *map(_component, system)],
        # The graph of dependencies belongs to the application, which is not the root here.
        "dependencies": [
            entry
            for entry in sbom.get("dependencies", [])
            if entry["ref"] in {part["bom-ref"] for part in sbom.get("components", [])}
        ],
    }


def _component(package: Package) -> dict[str, str]:
    kind, name, version = package
    url = f"pkg:{kind}/{_DISTRIBUTION[kind]}/{quote(name)}@{quote(version)}"
    return {"bom-ref": url, "type": "library", "name": name, "version": version, "purl": url}
