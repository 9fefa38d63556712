"""Nonces for DPoP proofs: which are recognized, and how long."""

import re

import pytest

from better_auth_keys import DpopNonces
from tests.keys.signed_tokens import NOW

SECRET = bytes(range(32))


def nonces(now: float = NOW, secret: bytes = SECRET) -> DpopNonces:
    return DpopNonces(secret, now=lambda: now)


def test_row62_nonce_has_the_characters_of_the_header() -> None:
    assert re.fullmatch(r"[0-9a-f]{10}[A-Za-z0-9_-]{24}", nonces().issue())


@pytest.mark.parametrize("passed", [-10, 0, 300])
def test_row62_nonce_of_any_server_with_the_secret_is_accepted(passed: float) -> None:
    assert nonces(NOW + passed).accepts(nonces().issue())


@pytest.mark.parametrize("passed", [-11, 301])
def test_row62_nonce_is_refused_before_and_after_its_time(passed: float) -> None:
    assert not nonces(NOW + passed).accepts(nonces().issue())


def test_row62_nonce_with_another_secret_is_refused() -> None:
    assert not nonces().accepts(nonces(secret=bytes(32)).issue())


def test_row62_changed_nonce_is_refused() -> None:
    good = nonces().issue()
    later = f"{NOW + 300:010x}{good[10:]}"
    spelled = f"{good[:10].upper()}{good[10:]}"
    assert spelled != good
    changed = [later, spelled, f"{good}=", f"{good} ", f" {good}", good[:-1], f"+{good[1:]}"]
    others: list[object] = [None, 7, "", f"{good[:-1]}é", "_" * 34, "\ud800" * 34, [good]]
    for nonce in [*changed, *others]:
        assert not nonces().accepts(nonce)


def test_short_secret_and_lifetime_are_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        DpopNonces(bytes(31))
    with pytest.raises(ValueError, match="positive"):
        DpopNonces(SECRET, lifetime=0)
