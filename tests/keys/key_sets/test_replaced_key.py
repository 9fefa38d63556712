"""A new key under a known kid: its tokens are accepted after one fetch, and forged ones refused."""

import asyncio
from dataclasses import replace

import pytest

from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    Reason,
    RefreshPolicy,
    RemoteKeySet,
    Signer,
    VerificationKey,
)
from better_auth_keys.testing import Gate, HttpIssuer, Reply
from tests.keys.lookups import POLICY, fail, look_up
from tests.keys.signed_tokens import claims, refusal, verifier_of
from tests.simulators.clock import ManualClock, advancing, eventually


def forged(signer: Signer, number: int = 0) -> str:
    """Return a token under the kid of `signer` that another key has signed."""
    return Signer.generate(kid=signer.kid).mint(claims(sub=f"user-{number}"))


def verify(verifier: AccessTokenVerifier, token: str) -> "asyncio.Task[Reason | str]":
    async def judge() -> Reason | str:
        try:
            return (await verifier.verify(token)).subject
        except InvalidTokenError as error:
            return error.reason

    return asyncio.create_task(judge())


async def judged(task: "asyncio.Task[Reason | str]", clock: ManualClock) -> Reason | str:
    await advancing(clock, task.done)
    return await task


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256"])
async def test_fault90_token_of_a_new_key_under_a_known_kid_is_accepted_after_one_fetch(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer, algorithm: str
) -> None:
    verifier = verifier_of(key_set)
    old_token = signer.mint(claims())
    assert (await verifier.verify(old_token)).subject == "alice"
    new = Signer.generate(algorithm, kid=signer.kid)
    server.publish(new)
    began = clock.now
    assert await judged(verify(verifier, new.mint(claims())), clock) == "alice"
    assert clock.now - began <= POLICY.cool_down + 0.2
    assert len(server.requests) == 2
    # The key that it had before signs nothing any more.
    assert await judged(verify(verifier, old_token), clock) in {
        Reason.BAD_SIGNATURE,
        Reason.KEY_ALGORITHM_MISMATCH,
    }


async def test_fault90_flood_of_bad_signatures_makes_one_fetch_and_good_tokens_do_not_wait(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    verifier = verifier_of(key_set)
    flood = [verify(verifier, forged(signer, number)) for number in range(20)]
    await asyncio.sleep(0)
    async with asyncio.timeout(2):
        assert (await verifier.verify(signer.mint(claims()))).subject == "alice"
    await advancing(clock, lambda: all(task.done() for task in flood))
    assert {task.result() for task in flood} == {Reason.BAD_SIGNATURE}
    assert len(server.requests) == 2


async def test_fault90_bad_signatures_during_the_fetch_wait_for_no_other(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    answer = server.reply
    server.reply = replace(answer, gate=Gate())
    verifier = verifier_of(key_set)
    flood = [verify(verifier, forged(signer))]
    await advancing(clock, lambda: len(server.requests) == 2)
    flood += [verify(verifier, forged(signer, number)) for number in range(10)]
    await asyncio.sleep(0)
    assert server.reply.gate is not None
    server.reply.gate.open()
    await eventually(lambda: all(task.done() for task in flood))
    assert {task.result() for task in flood} == {Reason.BAD_SIGNATURE}
    assert len(server.requests) == 2


async def test_fault90_after_the_fetch_bad_signatures_of_the_key_are_refused_at_once(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    verifier = verifier_of(key_set)
    assert await judged(verify(verifier, forged(signer)), clock) is Reason.BAD_SIGNATURE
    fetches = len(server.requests)
    async with asyncio.timeout(2):
        for _ in range(5):
            assert await refusal(verifier, forged(signer)) is Reason.BAD_SIGNATURE
    assert len(server.requests) == fetches
    clock.advance(POLICY.unknown_memory)
    assert await judged(verify(verifier, forged(signer)), clock) is Reason.BAD_SIGNATURE
    assert len(server.requests) == fetches + 1


async def test_fault90_bad_signature_is_refused_although_the_issuer_cannot_be_asked(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    fail(server)
    verifier = verifier_of(key_set)
    assert await judged(verify(verifier, forged(signer)), clock) is Reason.BAD_SIGNATURE
    fetches = len(server.requests)
    async with asyncio.timeout(2):
        assert await refusal(verifier, forged(signer)) is Reason.BAD_SIGNATURE
    assert len(server.requests) == fetches


async def test_fault90_bad_signatures_leave_places_to_tokens_with_unknown_kids(
    server: HttpIssuer, clock: ManualClock, signer: Signer
) -> None:
    policy = RefreshPolicy(max_waiters=32)
    remote = RemoteKeySet(server.jwks_url, clock=clock, policy=policy)
    await remote.start()
    await advancing(clock, lambda: remote.status().state == "fresh")
    server.reply = Reply(gate=Gate())
    verifier = verifier_of(remote)
    waiting = [verify(verifier, forged(signer, number)) for number in range(2)]
    await advancing(clock, lambda: len(server.requests) == 2)
    async with asyncio.timeout(2):
        assert await refusal(verifier, forged(signer)) is Reason.BAD_SIGNATURE
    unknown = look_up(remote, "unknown")
    await asyncio.sleep(0)
    assert not any(task.done() for task in (*waiting, unknown))
    await remote.stop()
    clock.advance(POLICY.max_wait)
    assert [await task for task in waiting] == [Reason.BAD_SIGNATURE] * 2
    await eventually(unknown.done)
    assert unknown.exception() is not None


async def test_fault90_requests_whose_fetch_has_ended_leave_the_places_of_bad_signatures(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    """They go on one after the other, which takes a while. 250 would be as many as have places."""
    gate = Gate()
    server.reply = replace(server.reply, gate=gate)
    unknown = [look_up(key_set, f"unknown {number}") for number in range(300)]
    await advancing(clock, lambda: len(server.requests) == 2)
    gate.open()
    await eventually(lambda: any(task.done() for task in unknown))
    assert not all(task.done() for task in unknown)
    forged_now = verify(verifier_of(key_set), forged(signer))
    assert await judged(forged_now, clock) is Reason.BAD_SIGNATURE
    assert len(server.requests) == 3
    await eventually(lambda: all(task.done() for task in unknown))
    assert {task.result() for task in unknown} == {None}


async def test_key_set_that_is_not_started_has_no_replacement(
    key_set: RemoteKeySet, signer: Signer
) -> None:
    await key_set.stop()
    key = await key_set.find(signer.kid)
    assert isinstance(key, VerificationKey)
    assert await key_set.replacement(replace(key)) is None
