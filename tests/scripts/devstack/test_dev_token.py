import json
from pathlib import Path

import pytest

from better_auth_keys import AccessTokenVerifier, StaticKeySet, VerificationPolicy
from better_auth_keys.errors import SigningKeyError
from scripts.devstack.mint_token import LIFETIME, USER, mint, provide_signer

ORIGIN = "http://localhost:3000"


async def test_token_is_one_that_a_verifier_of_the_published_key_takes(tmp_path: Path) -> None:
    signer = await provide_signer(tmp_path)
    token = mint(signer, {**USER, "iss": ORIGIN, "aud": ORIGIN})
    policy = VerificationPolicy(issuers=ORIGIN, audiences=ORIGIN)
    verifier = AccessTokenVerifier(StaticKeySet.from_file(tmp_path / "jwks.json"), policy)
    verified = await verifier.verify(token)
    assert verified.subject == "dev-user"
    assert policy.max_lifetime > LIFETIME.total_seconds()


async def test_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    first = await provide_signer(tmp_path)
    assert (await provide_signer(tmp_path)).kid == first.kid
    assert (tmp_path / "signing-keys.json").stat().st_mode & 0o777 == 0o600


async def test_published_keys_hold_no_private_member(tmp_path: Path) -> None:
    await provide_signer(tmp_path)
    (key,) = json.loads((tmp_path / "jwks.json").read_text())["keys"]
    assert set(key) == {"alg", "crv", "kid", "kty", "x"}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"keys": [{"kid": "a"}], "revoked": []}', '{"keys": []}', "\x00"]
)
async def test_damaged_keys_are_told_without_being_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "signing-keys.json").write_text(text)
    with pytest.raises(SigningKeyError, match=r"signing-keys\.json is damaged: remove it"):
        await provide_signer(tmp_path)
