"""Several issuers in one process: each token is judged by its own issuer's verifier and keys."""

from typing import Final

import pytest

from better_auth_keys import (
    AccessToken,
    AccessTokenVerifier,
    InvalidTokenError,
    IssuerSet,
    KeySet,
    KeySetUnavailableError,
    Reason,
    RemoteKeySet,
    Revocation,
    RevocationList,
    Signer,
    StaticKeySet,
    VerificationPolicy,
)
from better_auth_keys.testing import HttpIssuer
from better_auth_keys.tokens.jwk import VerificationKey
from tests.keys.oauth_tokens import ACCESS, API, BOTH, OAUTH_ISSUER, oauth_claims
from tests.keys.signed_tokens import NOW, ORIGIN, claims, key_set_of

OTHER: Final = "https://other.example.com"
OTHER_POLICY: Final = VerificationPolicy(OTHER, API)


class AskedKeySet(StaticKeySet):
    """The keys of `signers`; `asked` has the kids that were looked up."""

    def __init__(self, *signers: Signer) -> None:
        super().__init__(key_set_of(*signers)._snapshot.keys.values())  # type: ignore[union-attr] # it has keys
        self.asked: list[str] = []

    async def find(self, kid: str) -> VerificationKey | None:
        self.asked.append(kid)
        return await super().find(kid)


def verifier_of(
    keys: KeySet, policy: VerificationPolicy, revocations: RevocationList | None = None
) -> AccessTokenVerifier:
    return AccessTokenVerifier(keys, policy, revocations=revocations, now=lambda: NOW)


def other_claims(**changes: object) -> dict[str, object]:
    return claims(iss=OTHER, aud=API, **changes)


async def refused(issuers: IssuerSet, token: str) -> InvalidTokenError:
    try:
        await issuers.verify(token)
    except InvalidTokenError as error:
        return error
    raise AssertionError("the token was accepted")


@pytest.fixture
def ours(signer: Signer) -> AskedKeySet:
    return AskedKeySet(signer)


@pytest.fixture
def foreign() -> Signer:
    return Signer.generate("EdDSA")


@pytest.fixture
def theirs(foreign: Signer) -> AskedKeySet:
    return AskedKeySet(foreign)


@pytest.fixture
def issuers(ours: AskedKeySet, theirs: AskedKeySet) -> IssuerSet:
    return IssuerSet([verifier_of(ours, BOTH), verifier_of(theirs, OTHER_POLICY)])


async def test_row55_each_token_is_verified_with_the_keys_of_its_issuer(
    issuers: IssuerSet, ours: AskedKeySet, theirs: AskedKeySet, signer: Signer, foreign: Signer
) -> None:
    session = await issuers.verify(signer.mint(claims()))
    oauth = await issuers.verify(signer.mint(oauth_claims(), header=ACCESS))
    assert ours.asked == [signer.kid] * 2
    assert theirs.asked == []
    other = await issuers.verify(foreign.mint(other_claims()))
    assert theirs.asked == [foreign.kid]
    assert [token.issuer for token in (session, oauth, other)] == [ORIGIN, OAUTH_ISSUER, OTHER]


async def test_row55_users_of_two_issuers_with_one_subject_are_kept_apart(
    issuers: IssuerSet, signer: Signer, foreign: Signer
) -> None:
    tokens: list[AccessToken] = [
        await issuers.verify(signer.mint(claims())),
        await issuers.verify(signer.mint(oauth_claims(), header=ACCESS)),
        await issuers.verify(foreign.mint(other_claims())),
    ]
    assert {token.subject for token in tokens} == {"alice"}
    assert [token.identity for token in tokens] == [
        (ORIGIN, "alice"),
        (ORIGIN, "alice"),
        (OTHER, "alice"),
    ]


async def test_row55_keys_of_one_issuer_vouch_for_no_other(
    issuers: IssuerSet, signer: Signer, foreign: Signer
) -> None:
    assert (await refused(issuers, foreign.mint(claims()))).reason is Reason.UNKNOWN_KEY
    assert (await refused(issuers, signer.mint(other_claims()))).reason is Reason.UNKNOWN_KEY
    same_kid = Signer.generate("EdDSA", kid=signer.kid)
    assert (await refused(issuers, same_kid.mint(claims()))).reason is Reason.BAD_SIGNATURE


async def test_row55_audience_and_kind_are_those_of_the_issuer(
    issuers: IssuerSet, foreign: Signer
) -> None:
    # ORIGIN is an audience of the first issuer only, which also accepts OAuth tokens.
    wrong = foreign.mint(claims(iss=OTHER, aud=ORIGIN))
    assert (await refused(issuers, wrong)).reason is Reason.WRONG_AUDIENCE
    oauth = foreign.mint(oauth_claims(iss=OTHER), header=ACCESS)
    assert (await refused(issuers, oauth)).reason is Reason.WRONG_TYPE


@pytest.mark.parametrize(
    "issuer", ["https://evil.example.com", f"{ORIGIN}/", "", 7, None, [ORIGIN]]
)
async def test_row55_unknown_issuer_is_refused_without_a_fetch(
    issuers: IssuerSet, ours: AskedKeySet, theirs: AskedKeySet, signer: Signer, issuer: object
) -> None:
    error = await refused(issuers, signer.mint(claims(iss=issuer)))
    assert error.reason is Reason.WRONG_ISSUER
    assert (error.unverified_issuer, error.unverified_key_id) == (issuer, signer.kid)
    assert ours.asked == theirs.asked == []


async def test_row55_known_token_comes_from_the_cache_of_its_verifier(
    ours: AskedKeySet, theirs: AskedKeySet, foreign: Signer
) -> None:
    first, second = verifier_of(ours, BOTH), verifier_of(theirs, OTHER_POLICY)
    issuers, token = IssuerSet([first, second]), foreign.mint(other_claims())
    assert await issuers.verify(token) is await issuers.verify(token)
    assert (second.cache_counters.hits, second.cache_counters.misses) == (1, 1)
    assert (first.cache_counters.hits, first.cache_counters.misses) == (0, 0)


async def test_revoked_subject_of_one_issuer_is_not_that_of_another(
    ours: AskedKeySet, theirs: AskedKeySet, signer: Signer, foreign: Signer
) -> None:
    revoked, empty = RevocationList(), RevocationList()
    revoked.replace(kids=(), revocations=[Revocation("subject", "alice", NOW)])
    empty.replace(kids=())
    issuers = IssuerSet(
        [verifier_of(ours, BOTH, revoked), verifier_of(theirs, OTHER_POLICY, empty)]
    )
    assert (await refused(issuers, signer.mint(claims()))).reason is Reason.REVOKED
    assert (await issuers.verify(foreign.mint(other_claims()))).subject == "alice"


async def test_outage_of_one_issuer_leaves_the_other(
    server: HttpIssuer, theirs: AskedKeySet, signer: Signer, foreign: Signer
) -> None:
    await server.stop()
    remote = RemoteKeySet(server.jwks_url)
    issuers = IssuerSet([verifier_of(remote, BOTH), verifier_of(theirs, OTHER_POLICY)])
    async with issuers:
        with pytest.raises(KeySetUnavailableError):
            await issuers.verify(signer.mint(claims()))
        assert (await issuers.verify(foreign.mint(other_claims()))).subject == "alice"
    with pytest.raises(KeySetUnavailableError, match="not started"):
        await remote.find("any")


async def test_lifespan_starts_all_key_sets(
    server: HttpIssuer, theirs: AskedKeySet, signer: Signer
) -> None:
    issuers = IssuerSet(
        [verifier_of(RemoteKeySet(server.jwks_url), BOTH), verifier_of(theirs, OTHER_POLICY)]
    )
    async with issuers.lifespan(None):
        assert (await issuers.verify(signer.mint(claims()))).subject == "alice"


async def test_token_that_is_malformed_or_too_large_is_refused(issuers: IssuerSet) -> None:
    assert (await refused(issuers, "a.b")).reason is Reason.MALFORMED
    assert (await refused(issuers, "a" * 20_000)).reason is Reason.TOO_LARGE


def test_issuers_that_cannot_be_told_apart_are_refused(ours: AskedKeySet) -> None:
    one = verifier_of(ours, BOTH)
    with pytest.raises(ValueError, match="at least one"):
        IssuerSet([])
    with pytest.raises(ValueError, match=f"issuer {OAUTH_ISSUER}"):
        IssuerSet([one, verifier_of(ours, VerificationPolicy(OAUTH_ISSUER, API))])
    with pytest.raises(ValueError, match=f"issuer {ORIGIN}"):
        IssuerSet([one, verifier_of(ours, VerificationPolicy(OTHER, API, authority=ORIGIN))])
