"""The images of a release: how they are built, and the packages of their systems.

Docker builds them, or Podman if there is no Docker. The build needs the base images, from a
registry or from the engine's own store; PYTHON_IMAGE, NODE_IMAGE and CADDY_IMAGE set other ones.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.releases.products import ReleaseError
from scripts.releases.source_tree import Commit
from scripts.releases.tools import output_of

ENGINES: Final = ("docker", "podman")


@dataclass(frozen=True)
class Image:
    """An image, with paths relative to the checkout."""

    name: str
    dockerfile: str
    context: str
    base: str
    """The build argument that sets another base image."""


IMAGES: Final = (
    Image("service", "docker/service.Dockerfile", ".", "PYTHON_IMAGE"),
    Image("web", "docker/web.Dockerfile", "web", "NODE_IMAGE"),
    Image("caddy", "docker/caddy.Dockerfile", "docker", "CADDY_IMAGE"),
)


def find_engine() -> str | None:
    """Return Docker if its daemon answers, else Podman, else None."""
    for engine in ENGINES:
        try:
            done = subprocess.run([engine, "info"], check=False, capture_output=True)
        except OSError:
            continue
        if done.returncode == 0:
            return engine
    return None


def reference(image: Image, version: str) -> str:
    """Return the local name of an image."""
    return f"localhost/better-auth-resource-server-{image.name}:{version}"


def build_image(engine: str, image: Image, commit: Commit, tree: Path, version: str) -> str:
    """Build an image from the files of a commit, and return its name. Raises `ReleaseError`."""
    name = reference(image, version)
    arguments = {"VERSION": version, "REVISION": commit.identifier}
    if image.base in os.environ:
        arguments[image.base] = os.environ[image.base]
    options = [f"--build-arg={key}={value}" for key, value in arguments.items()]
    if engine == "podman":
        # Podman's own format has no HEALTHCHECK.
        options.append("--format=docker")
    command = [engine, "build", *options, "--file", image.dockerfile, "--tag", name, image.context]
    output_of(command, cwd=tree)
    return name


def save_image(engine: str, name: str, file: Path) -> None:
    """Write an image to an archive that `docker load` reads. Raises `ReleaseError`."""
    output_of([engine, "save", "--output", str(file), name])


def system_packages(engine: str, name: str) -> list[tuple[str, str, str]]:
    """Return the type, name and version of each Debian or Alpine package in an image.

    Raises `ReleaseError`.
    """
    command = [engine, "run", "--rm", "--network=none", "--entrypoint=cat", name]
    failed: ReleaseError | None = None
    for kind, file in _DATABASES.items():
        try:
            return sorted(_packages(kind, output_of([*command, file])))
        except ReleaseError as error:
            failed = error
    raise ReleaseError(f"{name} has no list of Debian or Alpine packages: {failed}")


_DATABASES: Final = {"deb": "/var/lib/dpkg/status", "apk": "/lib/apk/db/installed"}
_FIELDS: Final = {"deb": ("Package", "Version"), "apk": ("P", "V")}


def _packages(kind: str, database: str) -> Iterator[tuple[str, str, str]]:
    name, version = _FIELDS[kind]
    for paragraph in database.strip().split("\n\n"):
        fields = dict(re.findall(r"^(\w[\w-]*): ?(.*)$", paragraph, re.MULTILINE))
        if kind == "deb" and not fields.get("Status", "").endswith(" installed"):
            continue
        yield kind, fields[name], fields[version]
