"""Build a release up to its publication, which only the workflow `release.yml` does.

    ./scripts/release                       # a dry run of both products
    ./scripts/release --tag service-v1.2.3  # checks the version and the changelog as well

Everything comes from the commit that is checked out, and a changed file is an error. The wheels are
built twice and must be equal byte for byte. The folder that is printed at the end has the
distributions, the images, an SBOM of each, the release notes, and SHA256SUMS of all files.
Without Docker or Podman no image is built; `--without-images` builds none anyway. Exit codes: 0
done, 1 failed, 2 usage.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Final

from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, fail
from scripts.releases.distributions import build_twice
from scripts.releases.images import IMAGES, build_image, find_engine, save_image, system_packages
from scripts.releases.products import (
    PRODUCTS,
    SERVICE,
    UNRELEASED,
    ReleaseError,
    product_of,
)
from scripts.releases.sboms import Sbom, image_sbom, npm_sbom, python_sbom
from scripts.releases.source_tree import Commit
from scripts.releases.tools import HOME
from scripts.setup.checkout import CHECKOUT

OUT: Final = HOME / "out"
NO_ENGINE: Final = "no image was built: neither Docker nor Podman works here"


def main(argv: Sequence[str] | None = None) -> int:
    """Build a release and return the exit code."""
    parser = Parser("release", __doc__)
    parser.add_argument("--tag", help="the tag to release, such as service-v1.2.3")
    parser.add_argument("--without-images", action="store_true", help="build no images")
    options = parser.parse_args(argv)
    try:
        release(options.tag, images=not options.without_images)
    except ReleaseError as error:
        return fail("release", error)
    print(OUT)
    return DONE


def release(tag: str | None, *, images: bool) -> None:
    """Build all files of a release in `OUT`. Raises `ReleaseError`."""
    commit = Commit.checked_out(CHECKOUT)
    notes = release_notes(tag)
    shutil.rmtree(OUT, ignore_errors=True)
    distributions = OUT / "python"
    distributions.mkdir(parents=True)
    (OUT / "notes.md").write_text(notes, encoding="utf-8")
    built = build_twice(commit, CHECKOUT, distributions)
    _show(f"built twice, equal byte for byte: {', '.join(path.name for path in built)}")
    library = next(distributions.glob("better_auth_keys-*.whl"))
    contents = {"service": python_sbom(commit, library), "web": npm_sbom(commit)}
    for name, sbom in contents.items():
        _write(sbom, name)
    if images:
        _build_images(commit, contents, required=tag == SERVICE.tag(CHECKOUT))
    write_checksums(OUT)


def release_notes(tag: str | None) -> str:
    """Return the text of the release, or of a dry run. Raises `ReleaseError`."""
    if tag is not None:
        product = product_of(tag, CHECKOUT)
        return product.notes(CHECKOUT, product.version(CHECKOUT))
    notes = (f"# {product.name}\n\n{product.notes(CHECKOUT, UNRELEASED)}" for product in PRODUCTS)
    return "\n".join(notes)


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS of all files in a folder, as `sha256sum --check` reads it."""
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
        lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def _build_images(commit: Commit, contents: dict[str, Sbom], *, required: bool) -> None:
    engine = find_engine()
    if engine is None:
        if required:
            raise ReleaseError(f"{NO_ENGINE}; install one of them")
        _show(NO_ENGINE)
        return
    version = SERVICE.version(CHECKOUT)
    (OUT / "images").mkdir()
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        tree = commit.export(CHECKOUT, Path(folder))
        for image in IMAGES:
            name = build_image(engine, image, commit, tree, version)
            save_image(engine, name, OUT / "images" / f"{image.name}.tar")
            packages = system_packages(engine, name)
            sbom = image_sbom(image.name, version, contents.get(image.name), packages)
            _write(sbom, f"image-{image.name}")
            _show(f"built the image {name}")


def _write(sbom: Sbom, name: str) -> None:
    folder = OUT / "sboms"
    folder.mkdir(exist_ok=True)
    text = json.dumps(sbom, indent=2, sort_keys=True)
    (folder / f"{name}.cdx.json").write_text(f"{text}\n", encoding="utf-8")


def _show(text: str) -> None:
    print(f"release: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
