"""`RemoteKeySet` and unknown keys: what is decided, when, and with how many fetches."""

import asyncio

import pytest

from better_auth_keys import KeySetUnavailableError, RefreshPolicy, RemoteKeySet, Signer
from better_auth_keys.testing import Gate, HttpIssuer, Reply, jwks_of
from better_auth_keys.tokens.jwk import VerificationKey
from tests.keys.lookups import POLICY, fail, found, look_up
from tests.simulators.clock import ManualClock, advancing, eventually


async def test_row39_fifty_requests_on_a_cold_set_make_one_fetch(
    server: HttpIssuer, clock: ManualClock, signer: Signer
) -> None:
    release = Gate()
    server.reply = Reply(body=jwks_of([signer]), gate=release)
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await remote.start()
    tasks = [look_up(remote, signer.kid) for _ in range(50)]
    await eventually(lambda: len(server.requests) == 1)
    release.open()
    keys = await asyncio.gather(*tasks)
    assert [key.kid for key in keys if key] == [signer.kid] * 50
    for _ in range(5):
        clock.advance(POLICY.cool_down)
        await asyncio.sleep(0.005)
    assert len(server.requests) == 1
    await remote.stop()


async def test_row40_fifty_unknown_kids_at_once_make_one_fetch(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet
) -> None:
    tasks = [look_up(key_set, f"invented-{number}") for number in range(50)]
    await advancing(clock, lambda: all(task.done() for task in tasks))
    assert {task.result() for task in tasks} == {None}
    assert len(server.requests) == 2


async def test_row40_unknown_kids_in_sequence_make_one_fetch_a_cool_down(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet
) -> None:
    began = clock.now
    for number in range(5):
        assert await found(look_up(key_set, f"invented-{number}"), clock) is None
    assert len(server.requests) - 1 <= (clock.now - began) / POLICY.cool_down + 1


async def test_row40_unknown_kid_is_remembered_and_then_asked_for_again(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet
) -> None:
    assert await found(look_up(key_set, "invented"), clock) is None
    fetches = len(server.requests)
    async with asyncio.timeout(2):
        assert await key_set.find("invented") is None
    assert len(server.requests) == fetches
    clock.advance(POLICY.unknown_memory)
    assert await found(look_up(key_set, "invented"), clock) is None
    assert len(server.requests) == fetches + 1


async def test_row40_fault60_key_rotated_in_natively_is_found_within_the_wait(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    successor = Signer.generate()
    server.publish(signer, successor)
    began = clock.now
    key = await found(look_up(key_set, successor.kid), clock)
    assert isinstance(key, VerificationKey)
    assert clock.now - began <= POLICY.max_wait


async def test_row40_fetch_begun_before_the_request_cannot_decide_that_a_kid_is_unknown(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    # A scheduled refresh is under way, with the old keys in its answer ...
    release = Gate()
    server.reply = Reply(body=jwks_of([signer]), gate=release)
    await advancing(clock, lambda: len(server.requests) == 2, step=10)
    # ... when a key is rotated in and a token signed with it arrives.
    successor = Signer.generate()
    task = look_up(key_set, successor.kid)
    await asyncio.sleep(0)
    server.publish(signer, successor)
    release.open()
    assert isinstance(await found(task, clock), VerificationKey)
    assert len(server.requests) == 3


async def test_row40_fetch_that_ends_while_requests_wait_for_their_turn_decides_for_them(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    # A scheduled refresh is under way when they arrive, so it cannot decide.
    release = Gate()
    server.reply = Reply(body=jwks_of([signer]), gate=release)
    await advancing(clock, lambda: len(server.requests) == 2, step=10)
    tasks = [look_up(key_set, f"invented-{number}") for number in range(300)]
    await asyncio.sleep(0)
    server.publish(signer)
    release.open()
    await advancing(clock, lambda: all(task.done() for task in tasks))
    assert {task.result() for task in tasks} == {None}
    assert len(server.requests) == 3


async def test_row40_failed_fetch_leaves_an_unknown_kid_undecided(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet
) -> None:
    fail(server)
    with pytest.raises(KeySetUnavailableError) as caught:
        await found(look_up(key_set, "invented"), clock)
    assert caught.value.retry_after >= 1


async def test_row40_unanswered_fetch_leaves_an_unknown_kid_undecided_after_the_wait(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet
) -> None:
    release = Gate()
    server.reply = Reply(gate=release)
    began = clock.now
    with pytest.raises(KeySetUnavailableError):
        await found(look_up(key_set, "invented"), clock)
    assert clock.now - began <= POLICY.max_wait + 0.11
    release.open()


async def test_row40_waiters_are_bounded(
    server: HttpIssuer, clock: ManualClock, signer: Signer
) -> None:
    remote = RemoteKeySet(server.jwks_url, clock=clock, policy=RefreshPolicy(max_waiters=3))
    server.reply = Reply(body=jwks_of([signer]), gate=Gate())
    await remote.start()
    tasks = [look_up(remote, f"invented-{number}") for number in range(3)]
    await eventually(lambda: len(server.requests) == 1)
    with pytest.raises(KeySetUnavailableError, match="too many"):
        await remote.find("one-too-many")
    await remote.stop()
    for task in tasks:
        clock.advance(POLICY.max_wait)
        with pytest.raises(KeySetUnavailableError):
            await task


async def test_row39_failures_count_in_the_cool_down(
    server: HttpIssuer, clock: ManualClock
) -> None:
    fail(server)
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await remote.start()
    began = clock.now
    for _ in range(5):
        with pytest.raises(KeySetUnavailableError):
            await found(look_up(remote, "any"), clock)
    assert len(server.requests) <= (clock.now - began) / POLICY.cool_down + 1
    await remote.stop()


async def test_fault59_flood_of_invented_kids_costs_good_tokens_nothing(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    flood = [look_up(key_set, f"invented-{number}") for number in range(900)]
    await asyncio.sleep(0)
    assert await key_set.find(signer.kid) is not None
    await advancing(clock, lambda: all(task.done() for task in flood))
    assert len(server.requests) == 2


async def test_stopped_set_decides_nothing(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    server.reply = Reply(gate=Gate())
    task = look_up(key_set, "invented")
    await advancing(clock, lambda: len(server.requests) == 2)
    await key_set.stop()
    with pytest.raises(KeySetUnavailableError):
        await task
    assert await key_set.find(signer.kid) is not None


async def test_refresh_asks_the_issuer_although_the_keys_are_fresh(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet
) -> None:
    new = Signer.generate()
    server.publish(new)
    refreshing = asyncio.ensure_future(key_set.refresh())
    await advancing(clock, refreshing.done)
    await refreshing
    assert key_set.status().kids == (new.kid,)
    assert len(server.requests) == 2


async def test_refresh_waits_for_a_fetch_that_begins_after_it(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    new, released = Signer.generate(), Gate()
    old = jwks_of([signer])
    server.reply = Reply(body=old, gate=released)
    first = asyncio.ensure_future(key_set.refresh())
    await advancing(clock, lambda: len(server.requests) == 2)
    # The answer to the fetch under way may be older than the change.
    second = asyncio.ensure_future(key_set.refresh())
    await asyncio.sleep(0)
    server.publish(new)
    released.open()
    await advancing(clock, second.done)
    await first
    await second
    assert key_set.status().kids == (new.kid,)


async def test_refresh_that_fails_says_so_and_leaves_the_keys(
    server: HttpIssuer, clock: ManualClock, key_set: RemoteKeySet, signer: Signer
) -> None:
    server.reply = Reply(status=500)
    refreshing = asyncio.ensure_future(key_set.refresh())
    await advancing(clock, refreshing.done)
    with pytest.raises(KeySetUnavailableError, match="status 500"):
        await refreshing
    assert key_set.status().kids == (signer.kid,)
