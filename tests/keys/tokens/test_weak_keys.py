"""Keys whose signatures prove nothing are left out of the set, and no others."""

import json
from itertools import count
from math import prod

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from better_auth_keys import AccessTokenVerifier, Reason, Signer, StaticKeySet
from better_auth_keys.key_sets.key_set import parse_jwks
from better_auth_keys.tokens.jwk import UnusableKey, UnusableKeyError, parse_jwk
from better_auth_keys.tokens.weak_keys import (
    has_roca_fingerprint,
    has_small_order,
    is_ed25519_point,
)
from tests.keys.signed_tokens import NOW, POLICY, b64, claims, refusal

DEFAULT = {"EdDSA", "RS256"}
GOOD = Signer.generate("EdDSA", kid="good")
P = 2**255 - 19


def encoded(y: int, sign: int) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


# "Taming the many EdDSAs", table 6: 8 points, of which some have a second or third encoding.
ORDER_8 = (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
)
CANONICAL = {
    "order 1": encoded(1, 0),
    "order 2": encoded(P - 1, 0),
    "order 4": encoded(0, 0),
    "order 4, negative": encoded(0, 1),
    **{f"order 8, number {n}": bytes.fromhex(text) for n, text in enumerate(ORDER_8)},
}
NON_CANONICAL = {
    "order 1 with negative zero": encoded(1, 1),
    "order 1 over p": encoded(P + 1, 0),
    "order 1 over p with negative zero": encoded(P + 1, 1),
    "order 2 with negative zero": encoded(P - 1, 1),
    "order 4 over p": encoded(P, 0),
    "order 4 over p, negative": encoded(P, 1),
}
SMALL_ORDER = CANONICAL | NON_CANONICAL
OVER_P = {f"y = p + {n}, sign {s}": encoded(P + n, s) for n in range(19) for s in (0, 1)}
# For these y there is no point, with either sign.
OFF_CURVE = {f"y = {y}, sign {s}": encoded(y, s) for y in (2, 7, 8, 11) for s in (0, 1)}

# Primes of 1024 bits, as the broken library generated them (p = k * M + 65537 ** a mod M).
PRIMORIAL = prod(n for n in range(2, 702) if all(n % m for m in range(2, n)))
ROCA_MODULUS = prod(8657062663836735 * PRIMORIAL + pow(65537, a, PRIMORIAL) for a in (52, 279))


def jwk_of(point: bytes) -> dict[str, object]:
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(point), "kid": "weak", "alg": "EdDSA"}


def reason_of(jwk: dict[str, object]) -> UnusableKey:
    with pytest.raises(UnusableKeyError) as caught:
        parse_jwk(jwk, DEFAULT)
    return caught.value.reason


def forged(point: bytes) -> str:
    """Return a token that OpenSSL accepts as signed with `point`, made without a private key.

    With s = 0 the only condition is r = -h * point. There are few multiples of the point, so a
    guessed r is soon right.
    """
    header, key = b64({"alg": "EdDSA", "kid": "weak"}), Ed25519PublicKey.from_public_bytes(point)
    for attempt in count():
        signing_input = f"{header}.{b64(claims(attempt=attempt))}"
        for r in CANONICAL.values():
            signature = r + bytes(32)
            try:
                key.verify(signature, signing_input.encode())
            except InvalidSignature:
                continue
            return f"{signing_input}.{b64(signature)}"
        assert attempt < 1000
    raise AssertionError


@pytest.mark.parametrize("point", SMALL_ORDER.values(), ids=[f"row08 {id_}" for id_ in SMALL_ORDER])
async def test_token_forged_for_a_small_order_key_is_refused(point: bytes) -> None:
    token = forged(point)
    document = json.dumps({"keys": [jwk_of(point), GOOD.public_jwk()]}).encode()
    snapshot = parse_jwks(document, DEFAULT)
    verifier = AccessTokenVerifier(
        StaticKeySet(snapshot.keys.values()), POLICY, now=lambda: float(NOW)
    )
    assert await refusal(verifier, token) is Reason.UNKNOWN_KEY
    assert list(snapshot.keys) == ["good"]
    reason = UnusableKey.WEAK if point in CANONICAL.values() else UnusableKey.MALFORMED
    assert [*map(str, snapshot.left_out)] == [f"weak ({reason})"]


@pytest.mark.parametrize("point", OVER_P.values(), ids=[f"row08 {id_}" for id_ in OVER_P])
def test_ed25519_key_that_is_not_reduced_is_left_out(point: bytes) -> None:
    assert reason_of(jwk_of(point)) is UnusableKey.MALFORMED


@pytest.mark.parametrize("point", OFF_CURVE.values(), ids=[f"row08 {id_}" for id_ in OFF_CURVE])
def test_ed25519_key_off_its_curve_is_left_out(point: bytes) -> None:
    assert reason_of(jwk_of(point)) is UnusableKey.MALFORMED


def test_row08_usual_ed25519_keys_are_taken() -> None:
    for _ in range(100):
        jwk = Signer.generate("EdDSA", kid="usual").public_jwk()
        assert parse_jwk(jwk, DEFAULT).kid == "usual"


def test_row08_ed25519_key_of_mixed_order_is_taken() -> None:
    # Signing for it needs the private key. Adding the point of order 2 negates x and y.
    usual = int.from_bytes(_public(GOOD).public_bytes_raw(), "little")
    y, sign = usual % 2**255, usual >> 255
    mixed = encoded(P - y, 1 - sign)
    assert is_ed25519_point(mixed)
    assert not has_small_order(mixed)
    assert parse_jwk(jwk_of(mixed), DEFAULT).kid == "weak"


def test_row08_rsa_key_with_the_roca_fingerprint_is_left_out() -> None:
    assert ROCA_MODULUS.bit_length() == 2048
    jwk: dict[str, object] = {
        "kty": "RSA",
        "n": b64(ROCA_MODULUS.to_bytes(256)),
        "e": "AQAB",
        "alg": "RS256",
    }
    assert reason_of(jwk) is UnusableKey.WEAK


def test_row08_modulus_that_fits_each_small_prime_but_no_one_power_is_no_roca_key() -> None:
    # Each residue alone is a power of 65537, but there is no common exponent.
    primes = [n for n in range(3, 168) if all(n % m for m in range(2, n))]
    product = prod(primes)
    modulus = sum(
        pow(65537, place, prime) * (product // prime) * pow(product // prime, -1, prime)
        for place, prime in enumerate(primes)
    )
    assert not has_roca_fingerprint(modulus)
    assert has_roca_fingerprint(pow(65537, 12_345_678_901, product))


def _public(signer: Signer) -> Ed25519PublicKey:
    public = signer._key.public_key
    assert isinstance(public, Ed25519PublicKey)
    return public
