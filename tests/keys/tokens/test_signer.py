"""`Signer` keeps its private key secret."""

import pytest

from better_auth_keys import Signer, SigningKeyError

GOOD = Signer.generate("EdDSA", kid="k").private_jwk()
SECRET = str(GOOD["d"])

BROKEN: dict[str, dict[str, object]] = {
    "no kid": {name: value for name, value in GOOD.items() if name != "kid"},
    "no alg": {name: value for name, value in GOOD.items() if name != "alg"},
    "unknown alg": {**GOOD, "alg": "HS256"},
    "alg of another type": {**GOOD, "alg": "RS256"},
    "a public key": {name: value for name, value in GOOD.items() if name != "d"},
    "private part cut short": {**GOOD, "d": SECRET[:10]},
}


@pytest.mark.parametrize("jwk", BROKEN.values(), ids=BROKEN)
def test_broken_private_key_is_refused_without_showing_it(jwk: dict[str, object]) -> None:
    with pytest.raises(SigningKeyError) as caught:
        Signer.from_jwk(jwk)
    assert SECRET[:10] not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256", "ES256", "ES512", "PS256"])
def test_public_jwk_holds_no_private_member(algorithm: str) -> None:
    public = Signer.generate(algorithm).public_jwk()
    assert not {"d", "p", "q", "dp", "dq", "qi"} & set(public)
    assert public["alg"] == algorithm


def test_representation_shows_no_key_material() -> None:
    assert SECRET not in repr(Signer.from_jwk(GOOD))


def test_weak_key_is_not_made() -> None:
    with pytest.raises(SigningKeyError, match="2048"):
        Signer.generate("RS256", rsa_bits=1024)


def test_key_for_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(SigningKeyError, match="known: EdDSA"):
        Signer.generate("HS256")
