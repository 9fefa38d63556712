"""What a DPoP proof must contain: which are accepted, and why others are refused.

Tests of a row of the conformance table have its number in their id.
"""

import hmac
import json
from typing import Final

import pytest

from better_auth_keys import (
    AccessToken,
    AccessTokenVerifier,
    DpopVerifier,
    InvalidTokenError,
    Reason,
    Signer,
)
from better_auth_keys.tokens.dpop import token_hash
from tests.keys.dpop_proofs import (
    URL,
    bound_token,
    outcome,
    public_key,
    request,
    signed_proof,
    thumbprint,
)
from tests.keys.signed_tokens import NOW, POLICY, b64, key_set_of, verifier_of

CLIENT: Final = Signer.generate("ES256")
OTHER: Final = Signer.generate("ES256")
RSA_CLIENT: Final = Signer.generate("RS256")
PUBLIC: Final = public_key(CLIENT)

CLAIM_CASES: dict[str, tuple[dict[str, object], Reason]] = {
    "row58 another method": ({"htm": "POST"}, Reason.PROOF_METHOD),
    "row58 method in lower case": ({"htm": "get"}, Reason.PROOF_METHOD),
    "row58 method missing": ({"htm": ...}, Reason.PROOF_METHOD),
    "row58 method a list": ({"htm": ["GET"]}, Reason.PROOF_METHOD),
    "row58 another path": ({"htu": URL + "/1"}, Reason.PROOF_URL),
    "row58 another host": ({"htu": URL.replace("api.", "evil.")}, Reason.PROOF_URL),
    "row58 another scheme": ({"htu": URL.replace("https", "http")}, Reason.PROOF_URL),
    "row58 another port": ({"htu": URL.replace(".com", ".com:8443")}, Reason.PROOF_URL),
    "row58 path in another case": ({"htu": URL.replace("tasks", "Tasks")}, Reason.PROOF_URL),
    "row58 only a path": ({"htu": "/api/tasks"}, Reason.PROOF_URL),
    "row58 user name in the URL": ({"htu": URL.replace("//", "//alice@")}, Reason.PROOF_URL),
    "row58 not a URL": ({"htu": "https://[api"}, Reason.PROOF_URL),
    "row58 URL missing": ({"htu": ...}, Reason.PROOF_URL),
    "row58 URL a list": ({"htu": [URL]}, Reason.PROOF_URL),
    "row59 another token": ({"ath": token_hash("another")}, Reason.PROOF_HASH),
    "row59 token missing": ({"ath": ...}, Reason.PROOF_HASH),
    "row60 made too long ago": ({"iat": NOW - 70}, Reason.PROOF_TIME),
    "row60 made in the future": ({"iat": NOW + 11}, Reason.PROOF_TIME),
    "row60 time missing": ({"iat": ...}, Reason.PROOF_TIME),
    "row60 time a string": ({"iat": str(NOW)}, Reason.PROOF_TIME),
    "row60 time true": ({"iat": True}, Reason.PROOF_TIME),
    "row60 time beyond any float": ({"iat": 10**400}, Reason.PROOF_TIME),
    "row61 jti missing": ({"jti": ...}, Reason.PROOF_MALFORMED),
    "row61 jti empty": ({"jti": ""}, Reason.PROOF_MALFORMED),
    "row61 jti a number": ({"jti": 7}, Reason.PROOF_MALFORMED),
    "row61 jti of 513 characters": ({"jti": "j" * 513}, Reason.PROOF_MALFORMED),
}  # fmt: skip

HEADER_CASES: dict[str, tuple[dict[str, object], Reason]] = {
    "row56 typ missing": ({"typ": ...}, Reason.PROOF_TYPE),
    "row56 typ of a token": ({"typ": "at+jwt"}, Reason.PROOF_TYPE),
    "row56 typ JWT": ({"typ": "JWT"}, Reason.PROOF_TYPE),
    "row56 none": ({"alg": "none"}, Reason.PROOF_ALGORITHM),
    "row56 HS256": ({"alg": "HS256"}, Reason.PROOF_ALGORITHM),
    "row56 algorithm in lower case": ({"alg": "es256"}, Reason.PROOF_ALGORITHM),
    "row56 algorithm a list": ({"alg": ["ES256"]}, Reason.PROOF_ALGORITHM),
    "row56 crit": ({"crit": ["exp"], "exp": 1}, Reason.PROOF_MALFORMED),
    "row56 b64": ({"b64": True}, Reason.PROOF_MALFORMED),
    "row57 key missing": ({"jwk": ...}, Reason.PROOF_KEY),
    "row57 key null": ({"jwk": None}, Reason.PROOF_KEY),
    "row57 key without a member": ({"jwk": {"kty": "EC", "crv": "P-256"}}, Reason.PROOF_KEY),
    "row57 key of another algorithm": ({"alg": "RS256"}, Reason.PROOF_KEY),
    "row57 key that names ES512": ({"jwk": {**PUBLIC, "alg": "ES512"}}, Reason.PROOF_KEY),
    "row57 key for encryption": ({"jwk": {**PUBLIC, "use": "enc"}}, Reason.PROOF_KEY),
    "row57 symmetric key": ({"jwk": {"kty": "oct", "k": "c2VjcmV0"}}, Reason.PROOF_KEY),
    "row57 point not on the curve": ({"jwk": {**PUBLIC, "x": PUBLIC["y"]}}, Reason.PROOF_KEY),
    "row57 private key": ({"jwk": CLIENT.private_jwk()}, Reason.PROOF_KEY),
    "row57 key of another client": ({"jwk": public_key(OTHER)}, Reason.PROOF_KEY_MISMATCH),
}  # fmt: skip


def big_number(bits: int) -> str:
    return b64(((1 << bits) - 1).to_bytes(bits // 8))


WEAK_KEYS: dict[str, tuple[str, dict[str, object]]] = {
    "row57 Ed25519 key of small order": (
        "EdDSA",
        {"kty": "OKP", "crv": "Ed25519", "x": b64((1).to_bytes(32, "little"))},
    ),
    "row57 RSA key of 1024 bits": ("RS256", {"kty": "RSA", "n": big_number(1024), "e": "AQAB"}),
    "row57 RSA exponent that takes long": (
        "RS256",
        {**public_key(RSA_CLIENT), "e": big_number(1024)},
    ),
}


@pytest.fixture
def verifier(signer: Signer) -> AccessTokenVerifier:
    return verifier_of(signer)


@pytest.fixture
def token(signer: Signer) -> str:
    return bound_token(signer, CLIENT)


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "ES512", "RS256", "PS256"])
async def test_row56_proof_is_accepted_with_each_algorithm(
    verifier: AccessTokenVerifier, signer: Signer, algorithm: str
) -> None:
    client = Signer.generate(algorithm)
    token = bound_token(signer, client)
    accepted = await outcome(verifier, token, request(signed_proof(client, token)))
    assert isinstance(accepted, AccessToken)
    assert accepted.bound_key == thumbprint(client)


async def test_row56_other_name_of_eddsa_is_accepted(
    verifier: AccessTokenVerifier, signer: Signer
) -> None:
    client = Signer.generate("EdDSA")
    token = bound_token(signer, client)
    proof = signed_proof(client, token, header={"alg": "Ed25519"})
    assert isinstance(await outcome(verifier, token, request(proof)), AccessToken)


@pytest.mark.parametrize(("changes", "reason"), CLAIM_CASES.values(), ids=CLAIM_CASES)
async def test_proof_with_other_claims_is_refused(
    verifier: AccessTokenVerifier, token: str, changes: dict[str, object], reason: Reason
) -> None:
    proof = request(signed_proof(CLIENT, token, changes=changes))
    assert await outcome(verifier, token, proof) is reason


@pytest.mark.parametrize(("header", "reason"), HEADER_CASES.values(), ids=HEADER_CASES)
async def test_proof_with_another_header_is_refused(
    verifier: AccessTokenVerifier, token: str, header: dict[str, object], reason: Reason
) -> None:
    _, payload, signature = signed_proof(CLIENT, token).split(".")
    members = {"typ": "dpop+jwt", "alg": "ES256", "jwk": PUBLIC, **header}
    first = b64({name: value for name, value in members.items() if value is not ...})
    proof = request(f"{first}.{payload}.{signature}")
    assert await outcome(verifier, token, proof) is reason


async def test_row57_key_that_names_another_fitting_algorithm_is_refused(
    verifier: AccessTokenVerifier, signer: Signer
) -> None:
    token = bound_token(signer, RSA_CLIENT)
    jwk = {**public_key(RSA_CLIENT), "alg": "PS256"}
    proof = request(signed_proof(RSA_CLIENT, token, header={"jwk": jwk}))
    assert await outcome(verifier, token, proof) is Reason.PROOF_KEY


@pytest.mark.parametrize(("algorithm", "jwk"), WEAK_KEYS.values(), ids=WEAK_KEYS)
async def test_proof_with_a_weak_key_is_refused(
    verifier: AccessTokenVerifier, token: str, algorithm: str, jwk: dict[str, object]
) -> None:
    proof = signed_proof(CLIENT, token).split(".")
    header = b64({"typ": "dpop+jwt", "alg": algorithm, "jwk": jwk})
    refused = await outcome(verifier, token, request(".".join([header, *proof[1:]])))
    assert refused is Reason.PROOF_KEY


@pytest.mark.parametrize("number", [0, 2], ids=["row56 no header field", "row56 two of them"])
async def test_request_needs_one_proof(
    verifier: AccessTokenVerifier, token: str, number: int
) -> None:
    proof = request(*[signed_proof(CLIENT, token)] * number)
    assert await outcome(verifier, token, proof) is Reason.PROOF_COUNT


@pytest.mark.parametrize(
    "form",
    ["", "{0},{0}", "{1}", "{0}=", " {0}"],
    ids=[
        "row56 empty",
        "row56 two joined by a comma",
        "row56 two parts",
        "row56 padding",
        "row56 white space",
    ],
)
async def test_malformed_proof_is_refused(
    verifier: AccessTokenVerifier, token: str, form: str
) -> None:
    good = signed_proof(CLIENT, token)
    proof = request(form.format(good, good.rpartition(".")[0]))
    assert await outcome(verifier, token, proof) is Reason.PROOF_MALFORMED


async def test_row56_proof_of_more_than_8192_characters_is_refused(
    verifier: AccessTokenVerifier, token: str
) -> None:
    proof = request(signed_proof(CLIENT, token, changes={"padding": "a" * 8192}))
    assert await outcome(verifier, token, proof) is Reason.PROOF_MALFORMED


async def test_row56_signature_of_another_proof_is_refused(
    verifier: AccessTokenVerifier, token: str
) -> None:
    one, other = signed_proof(CLIENT, token), signed_proof(CLIENT, token)
    forged = f"{one.rpartition('.')[0]}.{other.rpartition('.')[2]}"
    assert await outcome(verifier, token, request(forged)) is Reason.PROOF_SIGNATURE


async def test_row56_public_key_as_shared_secret_is_refused(
    verifier: AccessTokenVerifier, token: str
) -> None:
    payload = signed_proof(CLIENT, token).split(".")[1]
    signing_input = f"{b64({'typ': 'dpop+jwt', 'alg': 'HS256', 'jwk': PUBLIC})}.{payload}"
    code = hmac.digest(json.dumps(PUBLIC).encode(), signing_input.encode(), "sha256")
    refused = await outcome(verifier, token, request(f"{signing_input}.{b64(code)}"))
    assert refused is Reason.PROOF_ALGORITHM


async def test_row56_algorithm_that_is_not_allowed_is_refused(signer: Signer, token: str) -> None:
    dpop = DpopVerifier(algorithms="EdDSA", now=lambda: NOW)
    verifier = AccessTokenVerifier(key_set_of(signer), POLICY, dpop=dpop, now=lambda: NOW)
    proof = request(signed_proof(CLIENT, token))
    assert await outcome(verifier, token, proof) is Reason.PROOF_ALGORITHM


async def test_row57_key_of_another_client_is_an_invalid_token(
    verifier: AccessTokenVerifier, token: str
) -> None:
    # RFC 9449 section 7.1: error="invalid_token" for a wrong key binding.
    with pytest.raises(InvalidTokenError) as refused:
        await verifier.verify(token, proof=request(signed_proof(OTHER, token)))
    assert (refused.value.reason, refused.value.code) == (
        Reason.PROOF_KEY_MISMATCH,
        "invalid_token",
    )


@pytest.mark.parametrize(
    "url",
    [
        f"{URL}?cursor=abc#part",
        URL.replace("https://api.example.com", "HTTPS://API.Example.com:443"),
        URL.replace("tasks", "t%61sks"),
        URL.replace("/tasks", "/./x/../tasks"),
    ],
    ids=["query and fragment", "origin", "escapes", "dot segments"],
)
async def test_row58_other_spelling_of_the_url_is_accepted(
    verifier: AccessTokenVerifier, token: str, url: str
) -> None:
    asked = request(signed_proof(CLIENT, token), url=url)
    assert isinstance(await outcome(verifier, token, asked), AccessToken)
    named = request(signed_proof(CLIENT, token, changes={"htu": url}))
    assert isinstance(await outcome(verifier, token, named), AccessToken)


@pytest.mark.parametrize("made", [NOW - 69, NOW + 10, NOW - 0.5])
async def test_row60_proof_within_the_window_is_accepted(
    verifier: AccessTokenVerifier, token: str, made: float
) -> None:
    proof = request(signed_proof(CLIENT, token, changes={"iat": made}))
    assert isinstance(await outcome(verifier, token, proof), AccessToken)
