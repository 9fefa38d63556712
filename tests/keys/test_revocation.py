"""`RevocationList`: revoked keys and tokens are refused, even if everything else is valid."""

import pytest

from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    KeySetUnavailableError,
    Reason,
    Revocation,
    RevocationList,
    RevocationsUnavailableError,
    Signer,
    StaticKeySet,
)
from better_auth_keys.revocation import RevocationKind
from better_auth_keys.tokens.jwk import VerificationKey, parse_jwk
from tests.keys.signed_tokens import NOW, POLICY, claims, key_set_of, refusal


@pytest.fixture
def revocations() -> RevocationList:
    loaded = RevocationList()
    loaded.replace(kids=[])
    return loaded


@pytest.fixture
def verifier(signer: Signer, revocations: RevocationList) -> AccessTokenVerifier:
    return AccessTokenVerifier(
        key_set_of(signer), POLICY, revocations=revocations, now=lambda: float(NOW)
    )


async def test_row41_token_of_a_revoked_key_is_refused_although_the_key_is_served(
    verifier: AccessTokenVerifier, revocations: RevocationList, signer: Signer
) -> None:
    token = signer.mint(claims())
    revocations.replace(kids=[signer.kid])
    assert await refusal(verifier, token) is Reason.REVOKED_KEY
    revocations.replace(kids=["another"])
    assert (await verifier.verify(token)).subject == "alice"


async def test_row41_token_that_was_verified_before_is_refused_when_its_key_is_revoked(
    verifier: AccessTokenVerifier, revocations: RevocationList, signer: Signer
) -> None:
    token = signer.mint(claims())
    await verifier.verify(token)
    await verifier.verify(token)
    assert verifier.cache_counters.hits == 1
    revocations.replace(kids=[signer.kid])
    assert await refusal(verifier, token) is Reason.REVOKED_KEY


class Unreachable:
    """A key set whose issuer cannot be reached."""

    async def find(self, kid: str) -> None:
        raise KeySetUnavailableError(kid, retry_after=1)


async def test_row41_token_of_a_revoked_key_is_refused_although_no_key_can_be_fetched(
    revocations: RevocationList, signer: Signer
) -> None:
    verifier = AccessTokenVerifier(
        Unreachable(),  # type: ignore[arg-type] # nothing else of it is used
        POLICY,
        revocations=revocations,
        now=lambda: float(NOW),
    )
    token = signer.mint(claims())
    with pytest.raises(KeySetUnavailableError):
        await verifier.verify(token)
    revocations.replace(kids=[signer.kid])
    assert await refusal(verifier, token) is Reason.REVOKED_KEY


async def test_row41_token_whose_key_is_revoked_while_it_waits_for_the_key_is_refused(
    revocations: RevocationList, signer: Signer
) -> None:
    class Slow(StaticKeySet):
        async def find(self, kid: str) -> VerificationKey | None:
            revocations.add((), kids=[kid])
            return await super().find(kid)

    verifier = AccessTokenVerifier(
        Slow([parse_jwk(signer.public_jwk(), {"EdDSA"})]),
        POLICY,
        revocations=revocations,
        now=lambda: float(NOW),
    )
    assert await refusal(verifier, signer.mint(claims())) is Reason.REVOKED_KEY


async def test_nothing_is_taken_before_it_is_known_what_is_revoked(
    verifier: AccessTokenVerifier, signer: Signer
) -> None:
    token = signer.mint(claims())
    unloaded = AccessTokenVerifier(
        key_set_of(signer), POLICY, revocations=RevocationList(), now=lambda: float(NOW)
    )
    with pytest.raises(RevocationsUnavailableError) as caught:
        await unloaded.verify(token)
    assert caught.value.code == "revocations_unavailable"
    assert await refusal(unloaded, "not a token") is Reason.MALFORMED
    assert (await verifier.verify(token)).subject == "alice"


def since(kind: RevocationKind, value: str, at: float = NOW) -> list[Revocation]:
    return [Revocation(kind, value, at)]


async def test_token_of_a_subject_is_refused_up_to_the_moment_and_not_after(
    verifier: AccessTokenVerifier, revocations: RevocationList, signer: Signer
) -> None:
    revocations.add(since("subject", "alice", NOW - 5))
    assert await refusal(verifier, signer.mint(claims(iat=NOW - 6))) is Reason.REVOKED
    assert await refusal(verifier, signer.mint(claims(iat=NOW - 5))) is Reason.REVOKED
    assert (await verifier.verify(signer.mint(claims(iat=NOW - 4)))).subject == "alice"
    assert (await verifier.verify(signer.mint(claims(sub="bob")))).subject == "bob"
    # An older entry does not replace a newer one.
    revocations.add(since("subject", "alice", NOW - 50))
    assert await refusal(verifier, signer.mint(claims(iat=NOW - 6))) is Reason.REVOKED


async def test_token_of_a_session_that_has_ended_is_refused_whenever_it_was_issued(
    verifier: AccessTokenVerifier, revocations: RevocationList, signer: Signer
) -> None:
    revocations.add(since("session", "s-1", NOW - 500))
    assert await refusal(verifier, signer.mint(claims(sid="s-1"))) is Reason.REVOKED
    for session in ("s-2", ..., 1, ["s-1"], None):
        assert (await verifier.verify(signer.mint(claims(sid=session)))).subject == "alice"


async def test_everyone_is_everyone(
    verifier: AccessTokenVerifier, revocations: RevocationList, signer: Signer
) -> None:
    revocations.add(since("everyone", "", NOW - 5))
    for subject in ("alice", "bob"):
        token = signer.mint(claims(sub=subject, iat=NOW - 5))
        assert await refusal(verifier, token) is Reason.REVOKED
    assert (await verifier.verify(signer.mint(claims(iat=NOW - 4)))).subject == "alice"


@pytest.mark.parametrize(
    "revocation",
    [*since("subject", "alice"), *since("session", "s-1"), *since("everyone", "")],
    ids=lambda revocation: revocation.kind,
)
async def test_token_that_was_verified_before_is_refused_when_it_is_revoked(
    verifier: AccessTokenVerifier,
    revocations: RevocationList,
    signer: Signer,
    revocation: Revocation,
) -> None:
    token = signer.mint(claims(sid="s-1"))
    await verifier.verify(token)
    revocations.add([revocation])
    assert await refusal(verifier, token) is Reason.REVOKED
    # The new list is without it: it was taken back, or all its tokens have expired.
    revocations.replace(kids=[])
    assert (await verifier.verify(token)).subject == "alice"


async def test_forged_token_is_told_nothing_of_whom_it_names(
    verifier: AccessTokenVerifier, revocations: RevocationList, signer: Signer
) -> None:
    revocations.add(since("subject", "alice"))
    forged = Signer.generate(kid=signer.kid).mint(claims())
    assert await refusal(verifier, forged) is Reason.BAD_SIGNATURE


async def test_sessions_whose_tokens_were_refused_are_named_until_that_is_settled(
    verifier: AccessTokenVerifier, revocations: RevocationList, signer: Signer
) -> None:
    revocations.replace(kids=[], revocations=[Revocation("session", f"s-{n}", 0) for n in range(3)])
    for n in range(2):
        assert await refusal(verifier, signer.mint(claims(sid=f"s-{n}"))) is Reason.REVOKED
    assert len(revocations.refused_sessions(1)) == 1
    assert revocations.refused_sessions(9) == {"s-0", "s-1"}
    revocations.settle_refused({"s-0"})
    assert revocations.refused_sessions(9) == {"s-1"}
    # An entry that is no longer in the list need not be kept.
    revocations.replace(kids=[])
    assert revocations.refused_sessions(9) == frozenset()


def test_news_add_to_the_revoked_keys_and_load_nothing_by_themselves() -> None:
    revocations = RevocationList()
    revocations.add([], kids=["stolen"])
    assert not revocations.loaded
    revocations.replace(kids=["old"])
    revocations.add([], kids=["stolen"])
    for kid in ("old", "stolen"):
        with pytest.raises(InvalidTokenError):
            revocations.check_key(kid)


async def test_list_that_is_reloaded_in_parts_judges_as_before_until_the_end(
    verifier: AccessTokenVerifier, revocations: RevocationList, signer: Signer
) -> None:
    revocations.replace(
        kids=["old"], revocations=[*since("session", "s-1"), *since("everyone", "")]
    )
    revocations.begin_reload()
    # Between two parts, others add what they revoked just now.
    revocations.add(since("session", "s-2"), kids=["stolen"])
    for session in ("s-1", "s-2"):
        assert await refusal(verifier, signer.mint(claims(sid=session))) is Reason.REVOKED
    assert await refusal(verifier, signer.mint(claims())) is Reason.REVOKED
    steps = revocations.finish_reload(kids=["new"])
    next(steps)
    assert await refusal(verifier, signer.mint(claims(sid="s-2"))) is Reason.REVOKED
    for _ in steps:
        pass
    assert await refusal(verifier, signer.mint(claims(sid="s-2"))) is Reason.REVOKED
    # Taken back, or expired: they were not in the reload.
    assert (await verifier.verify(signer.mint(claims(sid="s-1")))).subject == "alice"
    for kid, revoked in {"new": True, "stolen": True, "old": False}.items():
        if revoked:
            with pytest.raises(InvalidTokenError):
                revocations.check_key(kid)
        else:
            revocations.check_key(kid)
    assert len(revocations) == 3


async def test_list_is_not_loaded_before_the_last_part_nor_after_it_was_unloaded(
    signer: Signer,
) -> None:
    revocations = RevocationList()
    verifier = AccessTokenVerifier(
        key_set_of(signer), POLICY, revocations=revocations, now=lambda: float(NOW)
    )
    token = signer.mint(claims())
    revocations.begin_reload()
    revocations.add(since("session", "s-1"))
    with pytest.raises(RevocationsUnavailableError):
        await verifier.verify(token)
    for _ in revocations.finish_reload(kids=[]):
        pass
    assert (await verifier.verify(token)).subject == "alice"
    revocations.unload()
    assert not revocations.loaded
    with pytest.raises(RevocationsUnavailableError):
        await verifier.verify(token)
