"""Render the manifests in `deploy/kubernetes`, and find objects and pods in them."""

import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from scripts.setup.checkout import CHECKOUT

Manifest = Mapping[str, Any]
"""An object as it is sent to the API server."""

FOLDER: Final = CHECKOUT / "deploy" / "kubernetes"
_KUBECTL: Final = Path(sys.executable).with_name("kubectl")


class RenderError(Exception):
    """Kustomize cannot render a folder. The message is its reason."""


def render(folder: Path) -> list[Manifest]:
    """Return the objects of a Kustomize folder. Raises `RenderError`."""
    done = subprocess.run(
        [_KUBECTL, "kustomize", folder], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RenderError(done.stderr.strip())
    return [*yaml.safe_load_all(done.stdout)]


def find(manifests: Iterable[Manifest], kind: str, name: str) -> Manifest:
    """Return the object of a kind with this name. Raises `RenderError`."""
    for manifest in manifests:
        if (manifest["kind"], manifest["metadata"]["name"]) == (kind, name):
            return manifest
    raise RenderError(f"there is no {kind} {name}")


def pod_templates(manifests: Iterable[Manifest]) -> Iterator[tuple[Manifest, Manifest]]:
    """Yield each object that starts pods, with the template of its pods."""
    for manifest in manifests:
        if manifest["kind"] == "CronJob":
            yield manifest, manifest["spec"]["jobTemplate"]["spec"]["template"]
        elif manifest["kind"] in {"Deployment", "Job"}:
            yield manifest, manifest["spec"]["template"]


def environment_of(container: Manifest, manifests: Iterable[Manifest]) -> dict[str, str]:
    """Return what a container finds in its environment, without that of its image."""
    manifests = [*manifests]
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= find(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    return found | {entry["name"]: entry["value"] for entry in container.get("env", ())}
