"""Revoked keys are refused whatever else is known of them."""

import pytest

from keys import (
    AccessTokenVerifier,
    KeySetUnavailableError,
    Reason,
    RevocationList,
    RevocationsUnavailableError,
    Signer,
)
from tests.keys.tokens import NOW, POLICY, claims, key_set_of, refusal


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
    """A key set whose issuer cannot be asked."""

    async def find(self, kid: str) -> None:
        raise KeySetUnavailableError(kid, retry_after=1)


async def test_row41_token_of_a_revoked_key_is_refused_although_no_key_can_be_fetched(
    revocations: RevocationList, signer: Signer
) -> None:
    verifier = AccessTokenVerifier(
        Unreachable(),  # type: ignore[arg-type] # nothing else of it is asked for
        POLICY,
        revocations=revocations,
        now=lambda: float(NOW),
    )
    token = signer.mint(claims())
    with pytest.raises(KeySetUnavailableError):
        await verifier.verify(token)
    revocations.replace(kids=[signer.kid])
    assert await refusal(verifier, token) is Reason.REVOKED_KEY


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
