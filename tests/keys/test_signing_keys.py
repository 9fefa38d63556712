"""What every store of signing keys must do, run on each of them."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from keys import Signer
from keys.signing_keys import (
    InMemorySigningKeys,
    KeyInUseError,
    KeyState,
    SigningKeyStore,
    UnknownKeyError,
)


class Watch:
    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def store() -> InMemorySigningKeys:
    return InMemorySigningKeys(now=Watch())


async def publish(store: SigningKeyStore, count: int) -> list[str]:
    signers = [Signer.generate() for _ in range(count)]
    for signer in signers:
        assert await store.publish(signer)
    return [signer.kid for signer in signers]


async def states(store: SigningKeyStore) -> dict[str, KeyState]:
    return {key.kid: key.state for key in await store.keys()}


async def test_first_key_signs_and_further_ones_wait(store: InMemorySigningKeys) -> None:
    first, second = await publish(store, 2)
    assert await states(store) == {first: KeyState.ACTIVE, second: KeyState.PRE_ACTIVATION}
    signer = store.signer()
    assert signer is not None
    assert signer.kid == first
    assert {served.kid for served in store.served()} == {first, second}


async def test_activated_key_signs_and_the_one_before_is_still_served(
    store: InMemorySigningKeys,
) -> None:
    first, second = await publish(store, 2)
    assert await store.activate(second)
    assert await states(store) == {first: KeyState.DEACTIVATED, second: KeyState.ACTIVE}
    signer = store.signer()
    assert signer is not None
    assert signer.kid == second
    assert {served.kid for served in store.served()} == {first, second}


async def test_whole_life_of_a_key(store: InMemorySigningKeys) -> None:
    first, second = await publish(store, 2)
    await store.activate(second)
    assert await store.retire(first)
    assert await store.prune(first)
    assert await states(store) == {second: KeyState.ACTIVE}


async def test_what_is_done_already_is_said_and_changes_nothing(store: InMemorySigningKeys) -> None:
    signer = Signer.generate()
    (first,) = await publish(store, 1)
    assert await store.publish(signer)
    assert not await store.publish(signer)
    assert await store.activate(signer.kid)
    for verb in (store.activate, store.retire, store.prune):
        kid = signer.kid if verb == store.activate else first
        before = await store.keys()
        done = [await verb(kid), await verb(kid)]
        assert done == ([False, False] if verb == store.activate else [True, False])
        assert verb != store.activate or await store.keys() == before


async def test_revoked_key_is_gone_at_once(store: InMemorySigningKeys) -> None:
    first, second = await publish(store, 2)
    await store.activate(second)
    assert await store.revoke(first)
    assert not await store.revoke(first)
    assert (await states(store))[first] is KeyState.COMPROMISED
    assert [served.kid for served in store.served()] == [second]
    assert await store.prune(first)


async def test_key_that_signs_is_not_taken_away(store: InMemorySigningKeys) -> None:
    (first,) = await publish(store, 1)
    for verb in (store.retire, store.revoke, store.prune):
        with pytest.raises(KeyInUseError):
            await verb(first)
    assert await states(store) == {first: KeyState.ACTIVE}


async def test_key_that_has_signed_before_does_not_sign_again(store: InMemorySigningKeys) -> None:
    first, second = await publish(store, 2)
    await store.activate(second)
    with pytest.raises(KeyInUseError, match="publish another"):
        await store.activate(first)


async def test_key_that_is_not_there_is_unknown(store: InMemorySigningKeys) -> None:
    await publish(store, 1)
    for verb in (store.activate, store.retire, store.revoke):
        with pytest.raises(UnknownKeyError, match="no key nowhere"):
            await verb("nowhere")
    assert not await store.prune("nowhere")


async def test_of_two_operators_at_once_one_acts_and_one_is_told_so(
    store: InMemorySigningKeys,
) -> None:
    first, second = await publish(store, 2)
    for verb, kid in ((store.activate, second), (store.retire, first), (store.prune, first)):
        assert sorted(await asyncio.gather(verb(kid), verb(kid))) == [False, True]
