"""The verifier: which tokens are accepted, and why others are refused.

Tests of a row of the conformance table have its number in their id.
"""

import dataclasses
import hmac
import json

import pytest

from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    Reason,
    Signer,
    VerificationPolicy,
)
from better_auth_keys.key_sets.key_set import StaticKeySet
from tests.keys.signed_tokens import NOW, ORIGIN, POLICY, b64, claims, refusal, verifier_of

SMALL_CLAIM_CASES = {
    "row22 another issuer": ({"iss": "https://evil.example.com"}, Reason.WRONG_ISSUER),
    "row22 issuer with a slash": ({"iss": ORIGIN + "/"}, Reason.WRONG_ISSUER),
    "row22 issuer missing": ({"iss": ...}, Reason.WRONG_ISSUER),
    "row22 issuer a list": ({"iss": [ORIGIN]}, Reason.WRONG_ISSUER),
    "row23 another audience": ({"aud": "https://other.example.com"}, Reason.WRONG_AUDIENCE),
    "row23 audience missing": ({"aud": ...}, Reason.WRONG_AUDIENCE),
    "row23 audience empty": ({"aud": []}, Reason.WRONG_AUDIENCE),
    "row23 audience with a number": ({"aud": [ORIGIN, 1]}, Reason.WRONG_AUDIENCE),
    "row24 expired": ({"exp": NOW - 10}, Reason.EXPIRED),
    "row24 exp missing": ({"exp": ...}, Reason.BAD_TIME_CLAIM),
    "row24 exp a string": ({"exp": str(NOW + 900)}, Reason.BAD_TIME_CLAIM),
    "row24 exp true": ({"exp": True}, Reason.BAD_TIME_CLAIM),
    "row24 exp beyond any float": ({"exp": 10**400}, Reason.BAD_TIME_CLAIM),
    "row24 lives too long": ({"exp": NOW + 90_000}, Reason.LIFETIME_TOO_LONG),
    "row24 expired before it was issued": (
        {"iat": NOW + 5, "exp": NOW + 1},
        Reason.LIFETIME_TOO_LONG,
    ),
    "row25 nbf ahead": ({"nbf": NOW + 60}, Reason.NOT_YET_VALID),
    "row25 nbf a string": ({"nbf": "now"}, Reason.BAD_TIME_CLAIM),
    "row25 iat missing": ({"iat": ...}, Reason.BAD_TIME_CLAIM),
    "row25 iat ahead": ({"iat": NOW + 60}, Reason.NOT_YET_VALID),
    "row29 sub missing": ({"sub": ...}, Reason.BAD_SUBJECT),
    "row29 sub empty": ({"sub": ""}, Reason.BAD_SUBJECT),
    "row29 sub a number": ({"sub": 7}, Reason.BAD_SUBJECT),
    "row29 sub with a line break": ({"sub": "alice\nbob"}, Reason.BAD_SUBJECT),
    "row29 sub with a NUL": ({"sub": "alice\0"}, Reason.BAD_SUBJECT),
    "row29 sub with a lone surrogate": ({"sub": "\ud800"}, Reason.BAD_SUBJECT),
    "row29 sub of 10 kB": ({"sub": "a" * 10_000}, Reason.BAD_SUBJECT),
    "row31 scope a list": ({"scope": ["tasks:read"]}, Reason.BAD_SCOPE),
    "row32 bound to a key": ({"cnf": {"jkt": "x"}}, Reason.KEY_BOUND),
}

HEADER_CASES: dict[str, tuple[dict[str, object], Reason]] = {
    "row01 algorithm in lower case": ({"alg": "eddsa"}, Reason.ALGORITHM_NOT_ALLOWED),
    "row01 algorithm not configured": ({"alg": "ES256"}, Reason.ALGORITHM_NOT_ALLOWED),
    "row01 algorithm a list": ({"alg": ["EdDSA"]}, Reason.ALGORITHM_NOT_ALLOWED),
    "row02 none": ({"alg": "none"}, Reason.ALGORITHM_NOT_ALLOWED),
    "row02 NoNe": ({"alg": "NoNe"}, Reason.ALGORITHM_NOT_ALLOWED),
    "row03 HS256": ({"alg": "HS256"}, Reason.ALGORITHM_NOT_ALLOWED),
    "row04 another configured algorithm": ({"alg": "RS256"}, Reason.KEY_ALGORITHM_MISMATCH),
    "row15 crit unknown": ({"crit": ["exp"], "exp": 1}, Reason.CRITICAL_HEADER),
    "row15 crit empty": ({"crit": []}, Reason.CRITICAL_HEADER),
    "row15 crit a registered name": ({"crit": ["alg"]}, Reason.CRITICAL_HEADER),
    "row16 b64 false": ({"b64": False, "crit": ["b64"]}, Reason.CRITICAL_HEADER),
    "row16 b64 false without crit": ({"b64": False}, Reason.CRITICAL_HEADER),
    "row18 kid a number": ({"kid": 1}, Reason.BAD_KEY_ID),
    "row18 kid empty": ({"kid": ""}, Reason.BAD_KEY_ID),
    "row18 kid of 10 kB would not fit the header": ({"kid": "k" * 10_000}, Reason.TOO_LARGE),
    "row18 kid of 256 characters": ({"kid": "k" * 256}, Reason.BAD_KEY_ID),
    "row18 kid looked up exactly": ({"kid": "../other"}, Reason.UNKNOWN_KEY),
    "row26 an access token of another profile": ({"typ": "at+jwt"}, Reason.WRONG_TYPE),
    "row28 logout token": ({"typ": "logout+jwt"}, Reason.WRONG_TYPE),
    "row28 DPoP proof": ({"typ": "dpop+jwt"}, Reason.WRONG_TYPE),
    "row28 typ a number": ({"typ": 1}, Reason.WRONG_TYPE),
    "row28 typ null": ({"typ": None}, Reason.WRONG_TYPE),
}


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256", "ES256", "ES512", "PS256"])
async def test_good_token_of_each_algorithm_is_accepted(algorithm: str) -> None:
    signer = Signer.generate(algorithm)
    policy = dataclasses.replace(POLICY, algorithms=frozenset({algorithm}))
    token = await verifier_of(signer, policy).verify(signer.mint(claims()))
    assert (token.issuer, token.subject, token.key_id) == (ORIGIN, "alice", signer.kid)
    assert (token.issued_at, token.expires_at) == (NOW - 10, NOW + 890)
    assert token.scopes is None
    assert token.claims["email"] == "alice@example.com"


@pytest.mark.parametrize(("changes", "reason"), SMALL_CLAIM_CASES.values(), ids=SMALL_CLAIM_CASES)
async def test_token_with_a_wrong_claim_is_refused(
    signer: Signer, changes: dict[str, object], reason: Reason
) -> None:
    assert await refusal(verifier_of(signer), signer.mint(claims(**changes))) is reason


@pytest.mark.parametrize(("header", "reason"), HEADER_CASES.values(), ids=HEADER_CASES)
async def test_token_with_a_wrong_header_is_refused(
    signer: Signer, header: dict[str, object], reason: Reason
) -> None:
    signed = signer.mint(claims())
    _, payload, signature = signed.split(".")
    head = b64({"alg": "EdDSA", "kid": signer.kid, **header})
    assert await refusal(verifier_of(signer), f"{head}.{payload}.{signature}") is reason


async def test_row03_hmac_with_the_public_key_as_secret_is_refused(rsa_signer: Signer) -> None:
    public = json.dumps(rsa_signer.public_jwk()).encode()
    signing_input = f"{b64({'alg': 'HS256', 'kid': rsa_signer.kid})}.{b64(claims())}"
    mac = hmac.digest(public, signing_input.encode(), "sha256")
    token = f"{signing_input}.{b64(mac)}"
    assert await refusal(verifier_of(rsa_signer), token) is Reason.ALGORITHM_NOT_ALLOWED


async def test_row03_a_policy_cannot_name_a_symmetric_algorithm() -> None:
    with pytest.raises(ValueError, match="algorithms must be among"):
        dataclasses.replace(POLICY, algorithms=frozenset({"HS256", "EdDSA"}))


@pytest.mark.parametrize(("key", "used"), [("RS256", "PS256"), ("PS256", "RS256")])
async def test_row05_key_is_used_with_its_one_algorithm_only(key: str, used: str) -> None:
    owner = Signer.generate(key)
    policy = dataclasses.replace(POLICY, algorithms=frozenset({"RS256", "PS256"}))
    # The same RSA key with another algorithm: the signature itself is valid.
    misused = Signer.from_jwk({**owner.private_jwk(), "alg": used})
    verifier = verifier_of(owner, policy)
    assert (await verifier.verify(owner.mint(claims()))).subject == "alice"
    assert await refusal(verifier, misused.mint(claims())) is Reason.KEY_ALGORITHM_MISMATCH


async def test_row21_key_of_this_issuer_vouches_for_no_other(signer: Signer) -> None:
    token = signer.mint(claims(iss="https://other.example.com"))
    assert await refusal(verifier_of(signer), token) is Reason.WRONG_ISSUER


async def test_row30_identity_is_issuer_and_subject(signer: Signer) -> None:
    verified = await verifier_of(signer).verify(signer.mint(claims(id="not-this", sub="alice")))
    assert (verified.issuer, verified.subject) == (ORIGIN, "alice")


@pytest.mark.parametrize("configured", ["EdDSA", "Ed25519"])
@pytest.mark.parametrize("named", ["EdDSA", "Ed25519"])
async def test_row09_either_name_of_ed25519_takes_both(
    signer: Signer, configured: str, named: str
) -> None:
    policy = dataclasses.replace(POLICY, algorithms=frozenset({configured}))
    token = signer.mint(claims(), header={"alg": named})
    assert (await verifier_of(signer, policy).verify(token)).subject == "alice"


async def test_row17_keys_offered_by_the_token_are_not_used(signer: Signer) -> None:
    forger = Signer.generate("EdDSA", kid=signer.kid)
    offers = {"jwk": forger.public_jwk(), "jku": "https://evil.example.com", "x5c": ["AA=="]}
    token = forger.mint(claims(), header=offers)
    assert await refusal(verifier_of(signer), token) is Reason.BAD_SIGNATURE


async def test_row19_unknown_header_members_are_ignored(signer: Signer) -> None:
    token = signer.mint(claims(), header={"org.example.hint": [1, 2]})
    assert (await verifier_of(signer).verify(token)).subject == "alice"


@pytest.mark.parametrize("part", [0, 1, 2])
async def test_row20_a_token_with_any_byte_changed_is_refused(signer: Signer, part: int) -> None:
    parts = signer.mint(claims()).split(".")
    verifier = verifier_of(signer)
    for place, character in enumerate(parts[part]):
        other = "A" if character != "A" else "B"
        changed = parts.copy()
        changed[part] = parts[part][:place] + other + parts[part][place + 1 :]
        await refusal(verifier, ".".join(changed))


async def test_row20_another_spelling_of_the_same_signature_is_refused(signer: Signer) -> None:
    token = signer.mint(claims())
    spare_bits_set = {"A": "B", "Q": "R", "g": "h", "w": "x"}[token[-1]]
    assert await refusal(verifier_of(signer), token[:-1] + spare_bits_set) is Reason.MALFORMED


async def test_row22_one_issuer_may_go_by_several_names(signer: Signer) -> None:
    policy = dataclasses.replace(POLICY, issuers=frozenset({ORIGIN, f"{ORIGIN}/api/auth"}))
    token = signer.mint(claims(iss=f"{ORIGIN}/api/auth"))
    assert (await verifier_of(signer, policy).verify(token)).issuer == f"{ORIGIN}/api/auth"


async def test_row23_one_audience_among_several_is_enough(signer: Signer) -> None:
    token = signer.mint(claims(aud=["https://other.example.com", ORIGIN]))
    assert ORIGIN in (await verifier_of(signer).verify(token)).audiences


async def test_row24_leeway_counts_on_either_side_and_no_further(signer: Signer) -> None:
    token = signer.mint(claims(iat=NOW, exp=NOW + 100))
    leeway = POLICY.leeway
    for now in (NOW - leeway, NOW + 100 + leeway - 1):
        assert (await verifier_of(signer, now=now).verify(token)).subject == "alice"
    early, late = NOW - leeway - 1, NOW + 100 + leeway
    assert await refusal(verifier_of(signer, now=early), token) is Reason.NOT_YET_VALID
    assert await refusal(verifier_of(signer, now=late), token) is Reason.EXPIRED


@pytest.mark.parametrize("typ", ["at+jwt", "application/AT+JWT"])
async def test_row26_rfc9068_profile_takes_its_type_in_any_case(signer: Signer, typ: str) -> None:
    policy = dataclasses.replace(POLICY, profile="rfc9068")
    token = signer.mint(
        claims(client_id="cli", jti="1", scope="tasks:read tasks:write"), header={"typ": typ}
    )
    verified = await verifier_of(signer, policy).verify(token)
    assert verified.scopes == frozenset({"tasks:read", "tasks:write"})


@pytest.mark.parametrize("missing", ["client_id", "jti", "typ"])
async def test_row27_rfc9068_profile_requires_its_members(signer: Signer, missing: str) -> None:
    policy = dataclasses.replace(POLICY, profile="rfc9068")
    present = {"client_id": "cli", "jti": "1"} | ({missing: ...} if missing != "typ" else {})
    header = {} if missing == "typ" else {"typ": "at+jwt"}
    reason = await refusal(
        verifier_of(signer, policy), signer.mint(claims(**present), header=header)
    )
    assert reason is (Reason.WRONG_TYPE if missing == "typ" else Reason.MISSING_CLAIM)


async def test_row26_typ_jwt_is_accepted(signer: Signer) -> None:
    token = signer.mint(claims(), header={"typ": "JWT"})
    assert (await verifier_of(signer).verify(token)).subject == "alice"


async def test_row45_a_refusal_never_carries_the_token(signer: Signer) -> None:
    token = signer.mint(claims(exp=NOW - 100))
    with pytest.raises(InvalidTokenError) as caught:
        await verifier_of(signer).verify(token)
    assert token not in repr(caught.value)
    assert token.split(".")[1] not in str(caught.value)


async def test_row14_oversized_token_is_refused(signer: Signer) -> None:
    token = signer.mint(claims(padding="x" * POLICY.max_token_characters))
    assert await refusal(verifier_of(signer), token) is Reason.TOO_LARGE


async def test_key_is_not_asked_for_when_a_claim_is_wrong(signer: Signer) -> None:
    class NoKeys(StaticKeySet):
        async def find(self, kid: str) -> None:
            raise AssertionError(kid)

    verifier = AccessTokenVerifier(NoKeys([]), POLICY, now=lambda: NOW)
    assert await refusal(verifier, signer.mint(claims(aud="x"))) is Reason.WRONG_AUDIENCE


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuers": frozenset()},
        {"issuers": frozenset({""})},
        {"audiences": frozenset()},
        {"algorithms": frozenset()},
        {"leeway": -1},
        {"leeway": 301},
        {"max_lifetime": 0},
    ],
    ids=str,
)
def test_policy_that_would_pass_everything_or_nothing_is_refused(wrong: dict[str, object]) -> None:
    good: dict[str, object] = {"issuers": frozenset({"i"}), "audiences": frozenset({"a"})}
    with pytest.raises(ValueError, match=r"\w"):
        VerificationPolicy(**{**good, **wrong})  # type: ignore[arg-type] # this is the test
