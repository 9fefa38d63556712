"""Bills of materials have no random parts, and those of images list the system's packages."""

import json
from typing import Any

import pytest

from scripts.releases import images
from scripts.releases.images import IMAGES, system_packages
from scripts.releases.products import ReleaseError
from scripts.releases.sboms import image_sbom, npm_sbom
from scripts.releases.source_tree import Commit
from scripts.setup.checkout import CHECKOUT, WEB

COMMIT = Commit("0" * 40, 1_893_456_000)
DPKG = """\
Package: adduser
Status: install ok installed
Version: 3.134
Description: add users
 Package: not this

Package: removed
Status: deinstall ok config-files
Version: 1
"""
APK = "C:Q1abc=\nP:musl\nV:1.2.5-r9\nA:x86_64\n\nP:busybox\nV:1.37.0-r12\n"


def test_sbom_of_npm_lists_what_is_served_and_repeats_exactly() -> None:
    first, second = npm_sbom(COMMIT), npm_sbom(COMMIT)
    assert json.dumps(first) == json.dumps(second)
    assert first["metadata"]["timestamp"] == "2030-01-01T00:00:00+00:00"
    lock = json.loads((WEB / "package-lock.json").read_bytes())["packages"]
    served = {
        f"{path.rpartition('node_modules/')[2]}@{package['version']}"
        for path, package in lock.items()
        if path and not package.get("dev")
    }
    # pg-types is one that development needs as well, which `npm sbom --omit=dev` forgets.
    assert any(name.startswith("pg-types@") for name in served)
    assert served == {f"{part['name']}@{part['version']}" for part in first["components"]}
    assert "typescript" not in {part["name"] for part in first["components"]}


@pytest.mark.parametrize(
    ("answers", "packages"),
    [
        ([DPKG], [("deb", "adduser", "3.134")]),
        ([None, APK], [("apk", "busybox", "1.37.0-r12"), ("apk", "musl", "1.2.5-r9")]),
    ],
    ids=["debian", "alpine"],
)
def test_packages_of_an_images_system_are_read(
    answers: list[str | None],
    packages: list[tuple[str, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replies = iter(answers)

    def output_of(command: list[str]) -> str:
        assert "--network=none" in command
        reply = next(replies)
        if reply is None:
            raise ReleaseError("no such file")
        return reply

    monkeypatch.setattr(images, "output_of", output_of)
    assert system_packages("podman", "example") == packages


def test_sbom_of_an_image_adds_the_system_to_the_application() -> None:
    content: dict[str, Any] = {
        "metadata": {"component": {"bom-ref": "root", "name": "app"}},
        "components": [{"bom-ref": "a==1", "name": "a"}],
        "dependencies": [{"ref": "root", "dependsOn": ["a==1"]}, {"ref": "a==1"}],
    }
    sbom = image_sbom("service", "1.2.3", content, [("deb", "libc++1", "1:2.3+deb12")])
    assert sbom["metadata"]["component"]["type"] == "container"
    assert [part["name"] for part in sbom["components"]] == ["a", "libc++1"]
    assert sbom["components"][1]["purl"] == "pkg:deb/debian/libc%2B%2B1@1%3A2.3%2Bdeb12"
    assert sbom["dependencies"] == [{"ref": "a==1"}]
    assert content["components"] == [{"bom-ref": "a==1", "name": "a"}], "it is not changed"


def test_images_are_those_of_the_dockerfiles() -> None:
    assert {image.dockerfile for image in IMAGES} == {
        path.relative_to(CHECKOUT).as_posix() for path in CHECKOUT.glob("docker/*.Dockerfile")
    }
    for image in IMAGES:
        assert f"ARG {image.base}=" in (CHECKOUT / image.dockerfile).read_text()
        assert (CHECKOUT / image.context).is_dir()
