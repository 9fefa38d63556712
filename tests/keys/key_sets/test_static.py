"""`StaticKeySet` on a file."""

import os
from pathlib import Path

import pytest

from better_auth_keys import KeySetUnavailableError, Signer, StaticKeySet
from better_auth_keys.testing import jwks_of
from tests.simulators.clock import ManualClock


def replace(path: Path, content: bytes) -> None:
    """Write another file and move it into place, as a careful program does."""
    temporary = path.with_suffix(".new")
    temporary.write_bytes(content)
    os.replace(temporary, path)  # noqa: PTH105 - says what it does


@pytest.fixture
def path(tmp_path: Path, signer: Signer) -> Path:
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks_of([signer]))
    return file


async def test_changed_file_is_read_again(path: Path, clock: ManualClock, signer: Signer) -> None:
    keys = StaticKeySet.from_file(path, clock=clock)
    assert await keys.find(signer.kid) is not None
    successor = Signer.generate()
    replace(path, jwks_of([successor]))
    clock.advance(1)
    assert await keys.find(signer.kid) is None
    assert await keys.find(successor.kid) is not None


async def test_missing_file_is_unavailable_until_it_comes(
    tmp_path: Path, clock: ManualClock, signer: Signer
) -> None:
    path = tmp_path / "jwks.json"
    keys = StaticKeySet.from_file(path, clock=clock)
    with pytest.raises(KeySetUnavailableError):
        await keys.find(signer.kid)
    assert keys.status().state == "unavailable"
    path.write_bytes(jwks_of([signer]))
    clock.advance(1)
    assert await keys.find(signer.kid) is not None
    assert keys.status().state == "fresh"


@pytest.mark.parametrize("content", [b"", b'{"keys": []}', b" " * 300_000], ids=["", "{}", "big"])
async def test_bad_file_leaves_the_keys_in_place(
    path: Path, clock: ManualClock, signer: Signer, content: bytes
) -> None:
    keys = StaticKeySet.from_file(path, clock=clock)
    assert await keys.find(signer.kid) is not None
    replace(path, content)
    clock.advance(1)
    assert await keys.find(signer.kid) is not None
    assert keys.status().state == "stale"
    assert keys.status().last_error is not None
