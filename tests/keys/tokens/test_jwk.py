"""A JWK is usable with one algorithm, or left out for a reason."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from better_auth_keys import Signer
from better_auth_keys.key_sets.key_set import MAX_KEYS_IN_SET, MalformedKeySetError, parse_jwks
from better_auth_keys.tokens.jwk import UnusableKey, UnusableKeyError, parse_jwk
from tests.keys.signed_tokens import b64

DEFAULT = {"EdDSA", "RS256"}
ED = Signer.generate("EdDSA", kid="ed").public_jwk()
RSA = Signer.generate("RS256", kid="rsa").public_jwk()
EC = Signer.generate("ES256", kid="ec").public_jwk()
WEAK_MODULUS = rsa.generate_private_key(65537, 1024).public_key().public_numbers().n  # noqa: S505 - a key to refuse
WEAK_RSA = {**RSA, "n": b64(WEAK_MODULUS.to_bytes(128))}
EVEN_MODULUS = b64(b"\xff" * 255 + b"\xfe")

UNUSABLE = {
    "row03 symmetric": ({"kty": "oct", "k": "c2VjcmV0"}, UnusableKey.KEY_TYPE),
    "row04 alg of another type": ({**ED, "alg": "RS256"}, UnusableKey.ALGORITHM),
    "row04 alg of another curve": ({**EC, "alg": "ES512"}, UnusableKey.ALGORITHM),
    "row04 crv of another type": ({**EC, "crv": "Ed25519"}, UnusableKey.ALGORITHM),
    "row04 alg unknown": ({**RSA, "alg": "RS1"}, UnusableKey.ALGORITHM),
    "row04 alg symmetric": ({**RSA, "alg": "HS256"}, UnusableKey.ALGORITHM),
    "row04 alg a number": ({**RSA, "alg": 256}, UnusableKey.ALGORITHM),
    "row07 for encryption": ({**ED, "use": "enc"}, UnusableKey.NOT_FOR_SIGNATURES),
    "row07 cannot verify": ({**ED, "key_ops": ["sign"]}, UnusableKey.NOT_FOR_SIGNATURES),
    "row07 key_ops no list": ({**ED, "key_ops": "verify"}, UnusableKey.NOT_FOR_SIGNATURES),
    "row08 RSA of 1024 bits": (WEAK_RSA, UnusableKey.WEAK),
    "row08 RSA with an even modulus": ({**RSA, "n": EVEN_MODULUS}, UnusableKey.MALFORMED),
    "row08 RSA with exponent 1": ({**RSA, "e": "AQ"}, UnusableKey.MALFORMED),
    "row08 point off its curve": ({**EC, "y": b64(bytes(32))}, UnusableKey.MALFORMED),
    "row08 Ed25519 of 31 bytes": ({**ED, "x": b64(bytes(31))}, UnusableKey.MALFORMED),
    "row48 unknown type": ({"kty": "AKP", "alg": "ML-DSA-44"}, UnusableKey.KEY_TYPE),
    "row48 no type": ({"kid": "a"}, UnusableKey.KEY_TYPE),
    "row48 type a list": ({"kty": ["RSA"]}, UnusableKey.KEY_TYPE),
    "row48 bad curve": ({**EC, "crv": "P-257", "alg": "ES256"}, UnusableKey.ALGORITHM),
    "row48 bad use": ({**ED, "use": ["sig"]}, UnusableKey.NOT_FOR_SIGNATURES),
    "row48 modulus a number": ({**RSA, "n": 3}, UnusableKey.MALFORMED),
    "row48 modulus missing": ({"kty": "RSA", "e": "AQAB", "alg": "RS256"}, UnusableKey.MALFORMED),
    "row48 kid a number": ({**ED, "kid": 1}, UnusableKey.BAD_KEY_ID),
    "row48 kid empty": ({**ED, "kid": ""}, UnusableKey.BAD_KEY_ID),
    "row48 kid too long": ({**ED, "kid": "k" * 256}, UnusableKey.BAD_KEY_ID),
    "row48 no object": ("key", UnusableKey.NOT_AN_OBJECT),
    "a private key": (Signer.generate().private_jwk(), UnusableKey.PRIVATE),
}


@pytest.mark.parametrize(("jwk", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_key_is_left_out_and_spoils_nothing(jwk: object, reason: UnusableKey) -> None:
    with pytest.raises(UnusableKeyError) as caught:
        parse_jwk(jwk, DEFAULT)
    assert caught.value.reason is reason
    snapshot = parse_jwks(json.dumps({"keys": [jwk, ED, jwk]}).encode(), DEFAULT)
    assert list(snapshot.keys) == ["ed"]
    assert [(key.place, key.reason) for key in snapshot.left_out] == [(0, reason), (2, reason)]


@pytest.mark.parametrize(
    ("configured", "expected"), [({"EdDSA", "RS256"}, "RS256"), ({"PS256"}, "PS256")]
)
def test_row06_key_without_alg_takes_the_configured_one_of_its_type(
    configured: set[str], expected: str
) -> None:
    jwk = {name: value for name, value in RSA.items() if name != "alg"}
    assert parse_jwk(jwk, configured).algorithm == expected


@pytest.mark.parametrize(
    ("configured", "reason"),
    [
        ({"RS256", "PS256"}, UnusableKey.AMBIGUOUS_ALGORITHM),
        ({"EdDSA"}, UnusableKey.ALGORITHM),
    ],
)
def test_row06_key_without_alg_is_left_out_where_configuration_does_not_settle_it(
    configured: set[str], reason: UnusableKey
) -> None:
    jwk = {name: value for name, value in RSA.items() if name != "alg"}
    with pytest.raises(UnusableKeyError) as caught:
        parse_jwk(jwk, configured)
    assert caught.value.reason is reason


def test_row09_a_key_named_ed25519_is_an_eddsa_key() -> None:
    assert parse_jwk({**ED, "alg": "Ed25519"}, DEFAULT).algorithm == "EdDSA"


def test_row09_key_without_alg_fits_either_name_when_configured() -> None:
    jwk = {name: value for name, value in ED.items() if name != "alg"}
    assert parse_jwk(jwk, "Ed25519").algorithm == "EdDSA"


def test_key_without_kid_goes_by_its_thumbprint() -> None:
    key = parse_jwk({name: value for name, value in ED.items() if name != "kid"}, DEFAULT)
    assert key.kid == key.thumbprint


def test_same_key_twice_is_equal_and_another_under_its_kid_is_not() -> None:
    assert parse_jwk(ED, DEFAULT) == parse_jwk(dict(ED), DEFAULT)
    other = Signer.generate("EdDSA", kid="ed").public_jwk()
    assert parse_jwk(ED, DEFAULT) != parse_jwk(other, DEFAULT)


def test_row48_two_keys_under_one_kid_are_both_left_out() -> None:
    other = Signer.generate("EdDSA", kid="ed").public_jwk()
    snapshot = parse_jwks(json.dumps({"keys": [ED, RSA, other, ED]}).encode(), DEFAULT)
    assert list(snapshot.keys) == ["rsa"]
    assert [*map(str, snapshot.left_out)] == ["ed (duplicate_key_id)"] * 3


def test_row48_the_same_key_listed_twice_is_one_key() -> None:
    snapshot = parse_jwks(json.dumps({"keys": [ED, ED]}).encode(), DEFAULT)
    assert list(snapshot.keys) == ["ed"]


@pytest.mark.parametrize(
    ("kid", "shown"),
    [
        ("k1", "k1 (key_type)"),
        (None, "number 2 (key_type)"),
        ("two\nlines", "number 2 (key_type)"),
        ("k" * 256, "number 2 (key_type)"),
        ("", "number 2 (key_type)"),
    ],
)
def test_key_that_is_left_out_is_named_by_its_kid_if_that_can_be_shown(
    kid: str | None, shown: str
) -> None:
    document = json.dumps({"keys": [ED, {"kty": "oct", "kid": kid}]}).encode()
    assert [*map(str, parse_jwks(document, DEFAULT).left_out)] == [shown]


def test_set_without_a_usable_key_is_refused_with_the_reasons() -> None:
    document = json.dumps({"keys": [WEAK_RSA, {"kty": "oct"}, {"kty": "oct"}]}).encode()
    with pytest.raises(MalformedKeySetError, match=r"^no usable key \(key_type, weak\)$"):
        parse_jwks(document, DEFAULT)


MALFORMED_SETS = {
    "empty": b"",
    "HTML": b"<!doctype html><title>502</title>",
    "no object": b"[]",
    "no keys": b'{"key": []}',
    "keys no list": b'{"keys": {}}',
    "row43 an empty set": b'{"keys": []}',
    "row43 no usable key": b'{"keys": [{"kty": "oct", "k": "AA"}]}',
    "too many keys": json.dumps({"keys": [ED] * (MAX_KEYS_IN_SET + 1)}).encode(),
    "nested beyond recursion": b"[" * 100_000,
    "not UTF-8": b'{"keys": ["\xff"]}',
}


@pytest.mark.parametrize("document", MALFORMED_SETS.values(), ids=MALFORMED_SETS)
def test_malformed_set_is_refused(document: bytes) -> None:
    with pytest.raises(MalformedKeySetError):
        parse_jwks(document, DEFAULT)
