import hashlib
import subprocess
from pathlib import Path

import pytest

from scripts.releases.__main__ import main, release_notes, write_checksums
from scripts.releases.products import (
    LIBRARY,
    PRODUCTS,
    SERVICE,
    UNRELEASED,
    Product,
    ReleaseError,
    product_of,
)
from scripts.releases.source_tree import Commit
from scripts.setup.checkout import CHECKOUT
from service import __version__

CHANGELOG = """\
# Changelog

## Unreleased

## 1.2.3 - 2030-01-02

### Added
- A thing.

## 1.2.2 - 2029-01-02

- Another thing.
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "service").mkdir()
    (tmp_path / "keys").mkdir()
    (tmp_path / "service" / "__init__.py").write_text('"""Service."""\n\n__version__ = "1.2.3"\n')
    (tmp_path / "keys" / "pyproject.toml").write_text('[project]\nversion = "0.4.0rc1"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    return tmp_path


def test_version_of_each_product_is_read_from_its_one_file(checkout: Path) -> None:
    assert SERVICE.tag(checkout) == "service-v1.2.3"
    assert LIBRARY.tag(checkout) == "better-auth-keys-v0.4.0rc1"
    assert SERVICE.version(CHECKOUT) == __version__


def test_tag_names_the_product(checkout: Path) -> None:
    assert product_of("service-v1.2.3", checkout) is SERVICE
    assert product_of("better-auth-keys-v0.4.0rc1", checkout) is LIBRARY


@pytest.mark.parametrize("tag", ["service-v1.2.4", "better-auth-keys-v1.2.3", "v1.2.3", ""])
def test_tag_that_does_not_fit_the_versions_is_refused(tag: str, checkout: Path) -> None:
    with pytest.raises(ReleaseError, match=r"expected better-auth-keys-v0\.4\.0rc1 or service-v1"):
        product_of(tag, checkout)


@pytest.mark.parametrize("version", ["1.2", "1.2.3.dev1", "v1.2.3", ""])
def test_version_of_another_form_is_refused(version: str, checkout: Path) -> None:
    (checkout / "service" / "__init__.py").write_text(f'__version__ = "{version}"\n')
    with pytest.raises(ReleaseError, match=r"must have the form 1\.2\.3"):
        SERVICE.version(checkout)


def test_notes_are_the_section_of_the_version(checkout: Path) -> None:
    assert SERVICE.notes(checkout, "1.2.3") == "### Added\n- A thing.\n"


@pytest.mark.parametrize(
    ("section", "reason"),
    [("1.2.4", "has no section `## 1.2.4 - YEAR-MONTH-DAY`"), (UNRELEASED, "is empty")],
)
def test_missing_or_empty_section_is_refused(section: str, reason: str, checkout: Path) -> None:
    with pytest.raises(ReleaseError, match=reason):
        SERVICE.notes(checkout, section)


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.name)
def test_changelogs_of_this_checkout_can_be_read(product: Product) -> None:
    notes = release_notes(None)
    assert f"# {product.name}\n" in notes
    assert product.notes(CHECKOUT, UNRELEASED) in notes


def test_release_of_a_wrong_tag_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Commit, "checked_out", lambda _: Commit("0" * 40, 0))
    assert main(["--tag", "service-v0.0.0"]) == 1
    assert capsys.readouterr().err.startswith("release: the tag service-v0.0.0 does not fit")


def test_uncommitted_file_is_refused(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "new.txt").touch()
    with pytest.raises(ReleaseError, match=r"1 files are not committed, such as new\.txt"):
        Commit.checked_out(tmp_path)


def test_checksums_are_what_sha256sum_reads(tmp_path: Path) -> None:
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "a.whl").write_bytes(b"a")
    write_checksums(tmp_path)
    line = f"{hashlib.sha256(b'a').hexdigest()}  python/a.whl\n"
    assert (tmp_path / "SHA256SUMS").read_text() == line
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)
