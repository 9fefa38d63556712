"""Requests with DPoP proofs: replay, nonces, tokens that are bound or not, challenges.

Tests of a row of the conformance table have its number in their id.
"""

from typing import Final

import pytest

from better_auth_keys import (
    AccessToken,
    AccessTokenVerifier,
    DpopNonceRequiredError,
    DpopNonces,
    DpopVerifier,
    InvalidDpopProofError,
    InvalidTokenError,
    IssuerSet,
    Reason,
    Signer,
    TooManyDpopProofsError,
    UsedProofs,
)
from tests.keys.dpop_proofs import (
    bound_token,
    outcome,
    request,
    signed_proof,
    thumbprint,
)
from tests.keys.oauth_tokens import BOTH, oauth_claims
from tests.keys.signed_tokens import NOW, POLICY, claims, key_set_of, verifier_of

CLIENT: Final = Signer.generate("ES256")
OTHER: Final = Signer.generate("ES256")


@pytest.fixture
def verifier(signer: Signer) -> AccessTokenVerifier:
    return verifier_of(signer)


@pytest.fixture
def token(signer: Signer) -> str:
    return bound_token(signer, CLIENT)


async def test_row61_proof_is_accepted_once(verifier: AccessTokenVerifier, token: str) -> None:
    proof = request(signed_proof(CLIENT, token))
    assert isinstance(await outcome(verifier, token, proof), AccessToken)
    assert await outcome(verifier, token, proof) is Reason.PROOF_REPLAYED


async def test_row61_proof_is_remembered_as_long_as_it_is_accepted(
    signer: Signer, token: str
) -> None:
    now = float(NOW)
    verifier = AccessTokenVerifier(key_set_of(signer), POLICY, now=lambda: now)
    proof = request(signed_proof(CLIENT, token, changes={"iat": NOW + 10}))
    assert isinstance(await outcome(verifier, token, proof), AccessToken)
    now += 79.9
    # Another proof, so that those that have expired are forgotten.
    other = request(signed_proof(CLIENT, token, changes={"iat": NOW + 79}))
    assert isinstance(await outcome(verifier, token, other), AccessToken)
    assert await outcome(verifier, token, proof) is Reason.PROOF_REPLAYED
    late = request(signed_proof(CLIENT, token, changes={"iat": NOW + 15}))
    assert isinstance(await outcome(verifier, token, late), AccessToken)
    now += 0.1
    assert await outcome(verifier, token, proof) is Reason.PROOF_TIME


async def test_row61_jti_of_another_client_is_another_proof(
    verifier: AccessTokenVerifier, signer: Signer
) -> None:
    for client in (CLIENT, OTHER):
        token = bound_token(signer, client)
        proof = request(signed_proof(client, token, changes={"jti": "same"}))
        assert isinstance(await outcome(verifier, token, proof), AccessToken)


async def test_row61_refused_proof_does_not_use_up_its_jti(
    verifier: AccessTokenVerifier, token: str
) -> None:
    good = signed_proof(CLIENT, token, changes={"jti": "mine"})
    forged = f"{good.rpartition('.')[0]}.{signed_proof(CLIENT, token).rpartition('.')[2]}"
    assert await outcome(verifier, token, request(forged)) is Reason.PROOF_SIGNATURE
    assert isinstance(await outcome(verifier, token, request(good)), AccessToken)


async def test_row61_proof_that_cannot_be_remembered_is_not_accepted(
    signer: Signer, token: str
) -> None:
    dpop = DpopVerifier(used_proofs=UsedProofs(max_proofs=1, now=lambda: NOW), now=lambda: NOW)
    verifier = AccessTokenVerifier(key_set_of(signer), POLICY, dpop=dpop, now=lambda: NOW)
    await verifier.verify(token, proof=request(signed_proof(CLIENT, token)))
    with pytest.raises(TooManyDpopProofsError) as undecided:
        await verifier.verify(token, proof=request(signed_proof(CLIENT, token)))
    assert 1 <= undecided.value.retry_after <= 100


async def test_row62_proof_needs_a_nonce_of_this_server(signer: Signer, token: str) -> None:
    nonces = DpopNonces(b"s" * 32, now=lambda: NOW)
    dpop = DpopVerifier(nonces=nonces, now=lambda: NOW)
    verifier = AccessTokenVerifier(key_set_of(signer), POLICY, dpop=dpop, now=lambda: NOW)
    refusals: list[object] = [..., None, "", "x" * 34, 7, DpopNonces(b"t" * 32).issue()]
    for nonce in refusals:
        proof = request(signed_proof(CLIENT, token, changes={"nonce": nonce}))
        with pytest.raises(DpopNonceRequiredError) as refused:
            await verifier.verify(token, proof=proof)
        assert (refused.value.code, refused.value.reason) == ("use_dpop_nonce", Reason.PROOF_NONCE)
        assert nonces.accepts(refused.value.nonce)
    again = signed_proof(CLIENT, token, changes={"nonce": nonces.issue()})
    assert isinstance(await outcome(verifier, token, request(again)), AccessToken)


async def test_row62_nonce_is_ignored_where_none_is_required(
    verifier: AccessTokenVerifier, token: str
) -> None:
    proof = request(signed_proof(CLIENT, token, changes={"nonce": "of another server"}))
    assert isinstance(await outcome(verifier, token, proof), AccessToken)


async def test_row32_bound_token_without_a_proof_is_refused(
    verifier: AccessTokenVerifier, token: str
) -> None:
    assert await outcome(verifier, token, None) is Reason.KEY_BOUND


async def test_row63_scheme_is_checked_before_the_key_is_looked_up(
    verifier: AccessTokenVerifier,
) -> None:
    stranger = Signer.generate()
    bound, plain = bound_token(stranger, CLIENT), stranger.mint(claims())
    assert await outcome(verifier, bound, None) is Reason.KEY_BOUND
    proof = request(signed_proof(CLIENT, plain))
    assert await outcome(verifier, plain, proof) is Reason.NOT_KEY_BOUND


async def test_row63_token_that_is_not_bound_is_refused_with_a_proof(
    verifier: AccessTokenVerifier, signer: Signer
) -> None:
    token = signer.mint(claims())
    proof = request(signed_proof(CLIENT, token))
    assert await outcome(verifier, token, proof) is Reason.NOT_KEY_BOUND
    assert isinstance(await outcome(verifier, token, None), AccessToken)
    # And again, now that it is in the cache of verified tokens.
    assert await outcome(verifier, token, proof) is Reason.NOT_KEY_BOUND


async def test_row63_each_use_of_a_cached_token_needs_a_proof_of_its_own(
    verifier: AccessTokenVerifier, token: str
) -> None:
    proof = request(signed_proof(CLIENT, token))
    assert isinstance(await outcome(verifier, token, proof), AccessToken)
    assert await outcome(verifier, token, None) is Reason.KEY_BOUND
    assert await outcome(verifier, token, proof) is Reason.PROOF_REPLAYED
    other = request(signed_proof(OTHER, token))
    assert await outcome(verifier, token, other) is Reason.PROOF_KEY_MISMATCH
    second = request(signed_proof(CLIENT, token))
    assert isinstance(await outcome(verifier, token, second), AccessToken)
    assert verifier.cache_counters.hits == 4


@pytest.mark.parametrize(
    "cnf",
    [
        None,
        {},
        {"jkt": 7},
        {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
        {"jkt": thumbprint(CLIENT), "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"},
        thumbprint(CLIENT),
    ],
    ids=["null", "empty", "a number", "a certificate", "a certificate too", "not an object"],
)
async def test_row63_token_bound_in_another_way_is_refused(
    verifier: AccessTokenVerifier, signer: Signer, cnf: object
) -> None:
    token = bound_token(signer, CLIENT, cnf=cnf)
    for proof in (None, request(signed_proof(CLIENT, token))):
        assert await outcome(verifier, token, proof) is Reason.KEY_BOUND


async def test_row63_bound_oauth_token_is_accepted_with_its_proof(signer: Signer) -> None:
    # The form of Better Auth's oauth-provider plugin.
    bound = oauth_claims(cnf={"jkt": thumbprint(CLIENT)})
    token = signer.mint(bound, header={"typ": "at+jwt"})
    verifier = verifier_of(signer, BOTH)
    accepted = await outcome(verifier, token, request(signed_proof(CLIENT, token)))
    assert isinstance(accepted, AccessToken)
    assert (accepted.kind, accepted.bound_key) == ("oauth", thumbprint(CLIENT))
    assert await outcome(verifier, token, None) is Reason.KEY_BOUND


async def test_row63_issuer_set_checks_the_proof(signer: Signer, token: str) -> None:
    issuers = IssuerSet([verifier_of(signer)])
    for _ in ("new", "cached"):
        proof = request(signed_proof(CLIENT, token))
        assert (await issuers.verify(token, proof=proof)).bound_key == thumbprint(CLIENT)
        with pytest.raises(InvalidTokenError, match="proof_replayed"):
            await issuers.verify(token, proof=proof)
        with pytest.raises(InvalidTokenError, match="key_bound"):
            await issuers.verify(token)


async def test_row63_proof_does_not_make_a_bad_token_good(
    verifier: AccessTokenVerifier, signer: Signer
) -> None:
    expired = bound_token(signer, CLIENT, exp=NOW - 10)
    assert (
        await outcome(verifier, expired, request(signed_proof(CLIENT, expired))) is Reason.EXPIRED
    )
    forged = bound_token(Signer.generate(kid=signer.kid), CLIENT)
    proof = request(signed_proof(CLIENT, forged))
    assert await outcome(verifier, forged, proof) is Reason.BAD_SIGNATURE


def test_row64_challenge_names_error_and_algorithms(verifier: AccessTokenVerifier) -> None:
    algorithms = 'algs="ES256 ES512 Ed25519 EdDSA PS256 RS256"'
    expected = {
        "invalid_token": InvalidTokenError(Reason.KEY_BOUND),
        "invalid_dpop_proof": InvalidDpopProofError(Reason.PROOF_TIME),
        "use_dpop_nonce": DpopNonceRequiredError("nonce"),
    }
    assert verifier.dpop.challenge() == f"DPoP {algorithms}"
    for code, error in expected.items():
        assert verifier.dpop.challenge(error) == f'DPoP error="{code}", {algorithms}'


def test_row64_algorithms_are_those_of_the_metadata() -> None:
    assert DpopVerifier(algorithms="Ed25519").algorithms == ["Ed25519", "EdDSA"]
    assert DpopVerifier(algorithms=["PS256", "ES256"]).algorithms == ["ES256", "PS256"]


def test_option_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        DpopVerifier(max_age=0)
    for leeway in (-1, 301):
        with pytest.raises(ValueError, match="must be between"):
            DpopVerifier(leeway=leeway)
    with pytest.raises(ValueError, match="must be among"):
        DpopVerifier(algorithms="HS256")
