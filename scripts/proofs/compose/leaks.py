"""Search the layers and the configuration of an image for secrets."""

import gzip
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Final

_GZIP: Final = b"\x1f\x8b"
_CHUNK: Final = 1 << 20


def in_image(archive: Path, secrets: Iterable[str]) -> list[str]:
    """Return the members of a saved image (layers, configuration) that contain a secret."""
    needles = [secret.encode() for secret in secrets]
    with tarfile.open(archive) as image:
        return [
            member.name
            for member in image
            if member.isfile() and _holds(_content(image, member), needles)
        ]


def _content(image: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    file = image.extractfile(member)
    assert file is not None  # noqa: S101 - it is a file
    compressed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    content: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=file) if compressed else file
    while chunk := content.read(_CHUNK):
        yield chunk


def _holds(chunks: Iterator[bytes], needles: list[bytes]) -> bool:
    longest = max(map(len, needles))
    rest = b""
    for chunk in chunks:
        window = rest + chunk
        if any(needle in window for needle in needles):
            return True
        rest = window[-longest:]
    return False
