"""Session tokens and OAuth access tokens of one Better Auth, told apart by one verifier."""

from collections.abc import Mapping
from typing import Final

import pytest

from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    Reason,
    Signer,
    StaticKeySet,
    VerificationPolicy,
)
from tests.keys.oauth_tokens import ACCESS, API, BOTH, OAUTH_ISSUER, id_token_claims, oauth_claims
from tests.keys.signed_tokens import NOW, ORIGIN, POLICY, claims, refusal, verifier_of

# The jwt plugin's option `issuer` replaces the issuer of both kinds.
ONE_NAME: Final = VerificationPolicy(ORIGIN, [ORIGIN, API], oauth_issuers=ORIGIN)
Case = tuple[VerificationPolicy, dict[str, object], Mapping[str, object], Reason]
RFC9068: Final = VerificationPolicy(OAUTH_ISSUER, API, profile="rfc9068")


async def test_row51_one_verifier_accepts_both_kinds_and_tells_them_apart(signer: Signer) -> None:
    verifier = verifier_of(signer, BOTH)
    session = await verifier.verify(signer.mint(claims()))
    oauth = await verifier.verify(signer.mint(oauth_claims(), header=ACCESS))
    assert (session.kind, session.scopes, session.client_id) == ("session", None, None)
    assert (oauth.kind, oauth.client_id) == ("oauth", "app")
    assert oauth.scopes == frozenset({"tasks:read", "tasks:write"})
    assert (session.issuer, oauth.issuer) == (ORIGIN, OAUTH_ISSUER)


async def test_row30_identity_of_a_user_is_the_same_in_both_kinds(signer: Signer) -> None:
    verifier = verifier_of(signer, BOTH)
    session = await verifier.verify(signer.mint(claims()))
    oauth = await verifier.verify(signer.mint(oauth_claims(), header=ACCESS))
    assert session.identity == oauth.identity == (ORIGIN, "alice")


async def test_row30_identity_names_the_token_issuer_unless_the_policy_names_one(
    signer: Signer,
) -> None:
    names = {ORIGIN, OAUTH_ISSUER}
    token = signer.mint(claims(iss=OAUTH_ISSUER))
    several = await verifier_of(signer, VerificationPolicy(names, ORIGIN)).verify(token)
    assert several.identity == (OAUTH_ISSUER, "alice")
    named = VerificationPolicy(names, ORIGIN, authority=ORIGIN)
    assert (await verifier_of(signer, named).verify(token)).identity == (ORIGIN, "alice")


MIXED: Final[dict[str, Case]] = {
    "row51 OAuth issuer without typ": (BOTH, oauth_claims(), {}, Reason.MIXED_KIND),
    "row51 OAuth issuer with typ JWT": (BOTH, oauth_claims(), {"typ": "JWT"}, Reason.MIXED_KIND),
    "row51 session issuer with typ at+jwt": (BOTH, claims(), ACCESS, Reason.MIXED_KIND),
    "row51 OAuth claims but the session issuer": (
        BOTH,
        oauth_claims(iss=ORIGIN),
        ACCESS,
        Reason.MIXED_KIND,
    ),
    "row51 session claims but the OAuth issuer and type": (
        BOTH,
        claims(iss=OAUTH_ISSUER),
        ACCESS,
        Reason.MISSING_CLAIM,
    ),
    "row51 OAuth token without jti": (BOTH, oauth_claims(jti=...), ACCESS, Reason.MISSING_CLAIM),
    "row51 OAuth token without client_id": (
        BOTH,
        oauth_claims(client_id=...),
        ACCESS,
        Reason.MISSING_CLAIM,
    ),
    "row51 one issuer name, OAuth claims without typ": (
        ONE_NAME,
        oauth_claims(iss=ORIGIN),
        {},
        Reason.MIXED_KIND,
    ),
    "row51 one issuer name, client_id in a session token": (
        ONE_NAME,
        claims(client_id="app"),
        {},
        Reason.MIXED_KIND,
    ),
    "row51 one issuer name, session claims with typ at+jwt": (
        ONE_NAME,
        claims(),
        ACCESS,
        Reason.MISSING_CLAIM,
    ),
    "row51 OAuth token where only session tokens are accepted": (
        POLICY,
        oauth_claims(iss=ORIGIN, aud=ORIGIN),
        ACCESS,
        Reason.WRONG_TYPE,
    ),
    "row51 session token where only OAuth tokens are accepted": (
        RFC9068,
        claims(iss=OAUTH_ISSUER, aud=API),
        {},
        Reason.WRONG_TYPE,
    ),
    "row22 neither issuer": (
        BOTH,
        oauth_claims(iss=f"{ORIGIN}/other"),
        ACCESS,
        Reason.WRONG_ISSUER,
    ),
    "row28 ID token": (BOTH, id_token_claims(), {}, Reason.MIXED_KIND),
    "row28 ID token for an audience of the API": (
        ONE_NAME,
        id_token_claims(iss=ORIGIN, aud=API),
        {},
        Reason.MIXED_KIND,
    ),
    "row28 ID token where only session tokens are accepted": (
        POLICY,
        id_token_claims(),
        {},
        Reason.WRONG_ISSUER,
    ),
    "row28 cached session": (
        BOTH,
        claims(),
        {"typ": "better-auth.session-cache+jwt"},
        Reason.WRONG_TYPE,
    ),
    "row32 OAuth token bound to a key": (
        BOTH,
        oauth_claims(cnf={"jkt": "x"}),
        ACCESS,
        Reason.KEY_BOUND,
    ),
    "row23 OAuth token for another API": (
        BOTH,
        oauth_claims(aud="https://other.example.com"),
        ACCESS,
        Reason.WRONG_AUDIENCE,
    ),
}


@pytest.mark.parametrize(("policy", "payload", "header", "reason"), MIXED.values(), ids=MIXED)
async def test_token_of_no_kind_or_of_two_is_refused(
    signer: Signer,
    policy: VerificationPolicy,
    payload: dict[str, object],
    header: Mapping[str, object],
    reason: Reason,
) -> None:
    assert await refusal(verifier_of(signer, policy), signer.mint(payload, header=header)) is reason


async def test_opaque_oauth_token_is_refused(signer: Signer) -> None:
    assert await refusal(verifier_of(signer, BOTH), "k" * 32) is Reason.MALFORMED


@pytest.mark.parametrize("policy", [BOTH, RFC9068])
async def test_row52_oauth_token_without_scope_has_no_scope(
    signer: Signer, policy: VerificationPolicy
) -> None:
    token = signer.mint(oauth_claims(scope=...), header=ACCESS)
    assert (await verifier_of(signer, policy).verify(token)).scopes == frozenset()


async def test_other_issuers_may_put_oauth_claims_into_tokens_without_typ(signer: Signer) -> None:
    token = await verifier_of(signer).verify(signer.mint(claims(azp="app", client_id="app")))
    assert (token.kind, token.client_id) == ("session", None)


@pytest.mark.parametrize(
    ("audience", "reason"),
    [
        (API, None),
        ([API], None),
        ([API, API], None),
        ([API, "https://other.example.com"], Reason.SEVERAL_AUDIENCES),
        ([API, ORIGIN], Reason.SEVERAL_AUDIENCES),
        (["https://other.example.com"], Reason.WRONG_AUDIENCE),
    ],
)
async def test_row53_single_audience_refuses_a_token_for_several(
    signer: Signer, audience: object, reason: Reason | None
) -> None:
    policy = VerificationPolicy(ORIGIN, [API, ORIGIN], single_audience=True)
    verifier, token = verifier_of(signer, policy), signer.mint(claims(aud=audience))
    if reason is None:
        assert API in (await verifier.verify(token)).audiences
    else:
        assert await refusal(verifier, token) is reason


@pytest.mark.parametrize("banned", [True, "true", 1, {}])
async def test_row54_banned_user_is_refused_where_the_policy_says_so(
    signer: Signer, banned: object
) -> None:
    refusing = VerificationPolicy(ORIGIN, ORIGIN, refuse_banned=True)
    token = signer.mint(claims(banned=banned))
    assert await refusal(verifier_of(signer, refusing), token) is Reason.BANNED
    assert (await verifier_of(signer).verify(token)).claims["banned"] == banned


@pytest.mark.parametrize("banned", [False, None, ...])
async def test_row54_user_who_is_not_banned_is_accepted(signer: Signer, banned: object) -> None:
    refusing = VerificationPolicy(ORIGIN, ORIGIN, refuse_banned=True)
    token = signer.mint(claims(banned=banned))
    assert (await verifier_of(signer, refusing).verify(token)).subject == "alice"


@pytest.mark.parametrize(
    "wrong",
    [
        {"oauth_issuers": ""},
        {"oauth_issuers": [""]},
        {"authority": ""},
        {"profile": "rfc9068", "oauth_issuers": OAUTH_ISSUER},
    ],
    ids=str,
)
def test_policy_of_two_kinds_that_contradicts_itself_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"oauth_issuers|issuers only"):
        VerificationPolicy(ORIGIN, ORIGIN, **wrong)  # type: ignore[arg-type] # this is the test


async def test_refused_token_carries_its_unverified_issuer(signer: Signer) -> None:
    verifier = AccessTokenVerifier(StaticKeySet(()), BOTH, now=lambda: NOW)
    with pytest.raises(InvalidTokenError) as caught:
        await verifier.verify(signer.mint(oauth_claims()))
    assert caught.value.reason is Reason.MIXED_KIND
    assert caught.value.unverified_issuer == OAUTH_ISSUER
