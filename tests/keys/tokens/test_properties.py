"""Properties for all inputs: a changed token is refused, and only our own errors are raised."""

import json
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from better_auth_keys import AccessTokenVerifier, InvalidTokenError, Signer
from better_auth_keys.key_sets.key_set import KeySnapshot, MalformedKeySetError, parse_jwks
from tests.keys.dpop_proofs import bound_token, public_key, request, signed_proof
from tests.keys.signed_tokens import NOW, POLICY, b64, claims, key_set_of
from tests.keys.tokens.test_jwk import UNUSABLE

SIGNERS = [Signer.generate("EdDSA"), Signer.generate("RS256")]
TOKENS = [signer.mint(claims()) for signer in SIGNERS]
VERIFIER = AccessTokenVerifier(key_set_of(*SIGNERS), POLICY, now=lambda: NOW)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
# The same seed in each run: a test that fails at random cannot be repeated.
repeatable = settings(
    derandomize=True,
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


async def is_refused(token: str) -> bool:
    try:
        await VERIFIER.verify(token)
    except InvalidTokenError:
        return True
    return False


async def test_the_tokens_that_are_mutated_below_are_good() -> None:
    assert [await is_refused(token) for token in TOKENS] == [False, False]


@repeatable
@given(st.sampled_from(TOKENS), st.integers(min_value=0), st.characters(), st.data())
async def test_row20_any_mutation_of_a_good_token_is_refused(
    token: str, place: int, character: str, data: st.DataObject
) -> None:
    place %= len(token)
    mutated = data.draw(
        st.sampled_from(
            [
                token[:place] + character + token[place + 1 :],
                token[:place] + character + token[place:],
                token[:place] + token[place + 1 :],
                token[:place],
                token[place:] + token[:place],
                token + token,
            ]
        )
    )
    assume(mutated not in TOKENS)
    assert await is_refused(mutated)


@repeatable
@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
async def test_row11_any_text_is_refused_without_another_error(text: str) -> None:
    assert await is_refused(text)


@repeatable
@given(st.binary(), st.binary(), st.binary())
async def test_row11_any_bytes_in_three_parts_are_refused_without_another_error(
    header: bytes, payload: bytes, signature: bytes
) -> None:
    assert await is_refused(f"{b64(header)}.{b64(payload)}.{b64(signature)}")


@repeatable
@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "x"]), JSON))
async def test_any_header_is_refused_or_was_signed_as_it_is(header: dict[str, Any]) -> None:
    _, payload, signature = TOKENS[0].split(".")
    merged = {"alg": "EdDSA", "kid": SIGNERS[0].kid, **header}
    token = f"{b64(json.dumps(merged).encode())}.{payload}.{signature}"
    assert await is_refused(token) or token == TOKENS[0]


@repeatable
@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "cnf", "scope"]), JSON
    )
)
async def test_any_signed_claims_are_taken_or_refused_without_another_error(
    changes: dict[str, Any],
) -> None:
    # Hypothesis does not find our iss, aud, exp and iat, but it may find a valid subject.
    refused = await is_refused(SIGNERS[0].mint(claims(**changes)))
    assert refused or not {"iss", "aud", "exp", "iat", "cnf"} & changes.keys()


BOUND = bound_token(SIGNERS[0], SIGNERS[1])


@repeatable
@given(
    st.dictionaries(st.sampled_from(["typ", "alg", "jwk", "crit", "kid"]), JSON),
    st.dictionaries(st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce"]), JSON),
    st.dictionaries(st.sampled_from(["kty", "n", "e", "crv", "x", "y", "use", "alg"]), JSON),
)
async def test_any_dpop_proof_is_taken_or_refused_without_another_error(
    header: dict[str, Any], changes: dict[str, Any], members: dict[str, Any]
) -> None:
    jwk = {**public_key(SIGNERS[1]), **members}
    payload = signed_proof(SIGNERS[1], BOUND, changes=changes).split(".")[1]
    first = b64({"typ": "dpop+jwt", "alg": "RS256", "jwk": jwk, **header})
    try:
        # The signature is that of another proof.
        proof = request(f"{first}.{payload}.{signed_proof(SIGNERS[1], BOUND).rpartition('.')[2]}")
        await VERIFIER.verify(BOUND, proof=proof)
    except InvalidTokenError:
        return
    raise AssertionError("the proof was accepted")


GOOD_JWKS = [Signer.generate("EdDSA", kid=f"good-{number}").public_jwk() for number in range(4)]
BROKEN_JWKS = [jwk for jwk, _ in UNUSABLE.values()]


@repeatable
@given(st.lists(st.sampled_from([*GOOD_JWKS, *BROKEN_JWKS]), max_size=30))
def test_row48_any_set_of_good_and_broken_keys_keeps_exactly_the_good_ones(
    members: list[Any],
) -> None:
    good = {jwk["kid"] for jwk in members if jwk in GOOD_JWKS}
    assert kept(json.dumps({"keys": members}).encode()) == good


@repeatable
@given(JSON | st.fixed_dictionaries({"keys": JSON | st.lists(JSON)}))
def test_row43_any_other_document_is_refused_without_another_error(document: object) -> None:
    assert kept(json.dumps(document).encode()) == set()


@repeatable
@given(st.binary())
def test_row43_any_bytes_are_refused_as_a_set_without_another_error(document: bytes) -> None:
    assert kept(document) == set()


@repeatable
@given(
    st.fixed_dictionaries(
        {"kty": st.sampled_from(["OKP", "EC", "RSA", "oct"])},
        optional={
            name: JSON | st.binary().map(b64)
            for name in ("crv", "x", "y", "n", "e", "alg", "use", "key_ops", "kid")
        },
    )
)
def test_row48_any_key_is_taken_or_left_out_without_another_error(jwk: dict[str, Any]) -> None:
    document = json.dumps({"keys": [jwk, GOOD_JWKS[0]]}).encode()
    assert "good-0" in kept(document) or jwk.get("kid") == "good-0"


def kept(document: bytes) -> set[str]:
    try:
        snapshot: KeySnapshot = parse_jwks(document, {"EdDSA", "RS256"})
    except MalformedKeySetError:
        return set()
    return set(snapshot.keys)
