"""The bound on work for tokens that turn out to be invalid."""

import pytest

from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    KeySetUnavailableError,
    Signer,
    TooManyInvalidTokensError,
)
from better_auth_keys.tokens import unverified_work
from better_auth_keys.tokens.unverified_work import (
    MAX_CLIENTS,
    MAX_SUBJECTS,
    MAX_WAITING,
    REFUSALS_OF_KNOWN_SUBJECT,
    REFUSALS_PER_SECOND,
    UnverifiedWork,
)
from tests.keys.signed_tokens import NOW, POLICY, claims, key_set_of
from tests.simulators.clock import ManualClock


@pytest.fixture
def work(clock: ManualClock) -> UnverifiedWork:
    return UnverifiedWork(clock.monotonic)


def refuse(work: UnverifiedWork, client: str, subject: str) -> bool:
    """Let a client send an invalid token; return whether it was judged."""
    try:
        work.begin(client, subject)
    except TooManyInvalidTokensError:
        return False
    work.refused(client, subject)
    work.end(client)
    return True


def judged(work: UnverifiedWork, client: str, subject: str, times: int) -> int:
    return sum(refuse(work, client, subject) for _ in range(times))


def test_refusals_of_a_client_are_bounded_in_a_second(
    work: UnverifiedWork, clock: ManualClock
) -> None:
    assert abs(judged(work, "a", "x", 2000) - REFUSALS_PER_SECOND) <= 1
    clock.advance(0.5)
    assert abs(judged(work, "a", "x", 2000) - REFUSALS_PER_SECOND / 2) <= 1
    assert judged(work, "b", "x", 10) == 10


def test_subject_that_was_verified_before_passes_within_a_bound_of_its_own(
    work: UnverifiedWork,
) -> None:
    work.verified("a", "alice")
    judged(work, "a", "x", 2000)
    for _ in range(1000):  # valid ones are not counted
        work.begin("a", "alice")
        work.end("a")
    with pytest.raises(TooManyInvalidTokensError) as caught:
        work.begin("a", "bob")
    assert 1 <= caught.value.retry_after <= 2
    assert abs(judged(work, "a", "alice", 100) - REFUSALS_OF_KNOWN_SUBJECT) <= 1


def test_debt_of_a_client_is_gone_two_seconds_later_however_much_it_sent(
    work: UnverifiedWork, clock: ManualClock
) -> None:
    for _ in range(5000):  # all of them waited for one fetch
        work.refused("a", "x")
    clock.advance(1.01)
    work.begin("a", "y")


def test_valid_tokens_are_not_counted_and_those_that_wait_are(work: UnverifiedWork) -> None:
    for _ in range(MAX_WAITING):
        work.begin("a", "x")
    with pytest.raises(KeySetUnavailableError):
        work.begin("a", "x")
    work.begin("b", "x")
    for _ in range(MAX_WAITING):
        work.end("a")
    work.begin("a", "x")


def test_memory_is_bounded(work: UnverifiedWork) -> None:
    for number in range(MAX_SUBJECTS + 5000):
        work.verified("a", f"{number}")
        work.refused(f"{number}", "x")
    assert len(work._known) == MAX_SUBJECTS
    assert len(work._paid_until) == MAX_CLIENTS
    assert not work._waiting


async def test_token_in_the_cache_passes_while_its_address_is_over_the_bound(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unverified_work, "REFUSALS_PER_SECOND", 2)
    monkeypatch.setattr(unverified_work, "REFUSALS_OF_KNOWN_SUBJECT", 1)
    verifier = AccessTokenVerifier(key_set_of(signer), POLICY, now=lambda: NOW)
    warm = signer.mint(claims(sub="alice"))
    await verifier.verify(warm, client="a")
    forged = Signer.generate(kid=signer.kid).mint(claims(sub="mallory"))
    for _ in range(3):
        with pytest.raises(InvalidTokenError):
            await verifier.verify(forged, client="a")
    with pytest.raises(TooManyInvalidTokensError):
        await verifier.verify(forged, client="a")
    with pytest.raises(TooManyInvalidTokensError):
        await verifier.verify(signer.mint(claims(sub="bob")), client="a")
    assert (await verifier.verify(warm, client="a")).subject == "alice"
    assert (await verifier.verify(signer.mint(claims(sub="alice", n=2)), client="a")).claims["n"]
    assert (await verifier.verify(signer.mint(claims(sub="bob")), client="b")).subject == "bob"
    with pytest.raises(InvalidTokenError):
        await verifier.verify(forged)
