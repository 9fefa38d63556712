"""The search finds secrets in images, compressed or not, also across the ends of chunks."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from scripts.proofs.compose import leaks

SECRET = "s3cr3t" * 7


def image(path: Path, **members: bytes) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_image_without_secrets_holds_none(tmp_path: Path) -> None:
    saved = image(tmp_path / "image.tar", layer=b"x" * 3_000_000, config=b"{}")
    assert leaks.in_image(saved, [SECRET, "other"]) == []


@pytest.mark.parametrize("offset", [0, (1 << 20) - 10, (1 << 21) - 41, 2_999_000])
@pytest.mark.parametrize("compress", [False, True])
def test_secret_is_found(tmp_path: Path, offset: int, *, compress: bool) -> None:
    content = b"x" * offset + SECRET.encode() + b"y" * 100
    layer = gzip.compress(content, 1) if compress else content
    saved = image(tmp_path / "image.tar", clean=b"", layer=layer)
    assert leaks.in_image(saved, ["other", SECRET]) == ["layer"]
