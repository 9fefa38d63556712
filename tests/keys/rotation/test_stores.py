"""The behaviour of a store of signing keys, tested with each of them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from better_auth_keys import Signer
from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from better_auth_keys.rotation.better_auth.store import BetterAuthSigningKeys
from better_auth_keys.rotation.local_store import InMemorySigningKeys
from better_auth_keys.rotation.store import (
    KeyInUseError,
    KeyState,
    KeyStoreError,
    KeyTransaction,
    SigningKey,
    SigningKeyStore,
    UnknownKeyError,
)
from scripts.operations.rotate_keys.key_file import FileSigningKeys
from tests.conftest import DatabaseUrls
from tests.simulators.jwks_table import SECRET, Issuer, connected, reach


class Issues(Protocol):
    """What an issuer with the keys of a store does."""

    async def signs_with(self, algorithm: str | None = None) -> str | None: ...
    async def can_sign(self, kid: str) -> bool: ...
    async def serves(self) -> set[str]: ...


class LocalIssuer:
    """An issuer that signs with the keys of a local store."""

    def __init__(self, store: InMemorySigningKeys | FileSigningKeys) -> None:
        self._store = store

    async def signs_with(self, algorithm: str | None = None) -> str | None:
        contents = self._store.contents
        signer = contents.signer() if algorithm is None else contents.signer_of(algorithm)
        return None if signer is None else signer.kid

    async def can_sign(self, kid: str) -> bool:
        return any(key.kid == kid and key.retired_at is None for key in await self._store.keys())

    async def serves(self) -> set[str]:
        return {signer.kid for signer in self._store.contents.served()}


Case = tuple[SigningKeyStore, Issues]


@pytest.fixture(params=["memory", "file", "better-auth"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    if request.param == "better-auth":
        url = request.getfixturevalue("issuer_database").auth
        keys = BetterAuthSigningKeys(
            reach(url), secrets=IssuerSecrets(SECRET), algorithm="EdDSA", operator="tests"
        )
        yield keys, Issuer(url)
        return
    store = InMemorySigningKeys() if request.param == "memory" else FileSigningKeys(tmp_path / "k")
    yield store, LocalIssuer(store)


async def publish(store: SigningKeyStore, count: int, algorithm: str = "EdDSA") -> list[str]:
    signers = [Signer.generate(algorithm) for _ in range(count)]
    for signer in signers:
        async with store.changing("a test") as transaction:
            assert await transaction.publish(signer)
    return [signer.kid for signer in signers]


async def do(
    store: SigningKeyStore, verb: Callable[[KeyTransaction, str], Awaitable[bool]], kid: str
) -> bool:
    async with store.changing("a test") as transaction:
        return await verb(transaction, kid)


async def states(store: SigningKeyStore) -> dict[str, KeyState]:
    return {key.kid: key.state for key in await store.keys()}


def activate(transaction: KeyTransaction, kid: str) -> Awaitable[bool]:
    return transaction.activate(kid)


def retire(transaction: KeyTransaction, kid: str) -> Awaitable[bool]:
    return transaction.retire(kid)


def prune(transaction: KeyTransaction, kid: str) -> Awaitable[bool]:
    return transaction.prune(kid)


def revoke(transaction: KeyTransaction, kid: str) -> Awaitable[bool]:
    return transaction.revoke(kid)


async def test_first_key_signs_and_further_ones_wait(case: Case) -> None:
    store, issuer = case
    first, second, third = await publish(store, 3)
    waiting = KeyState.PRE_ACTIVATION
    assert await states(store) == {first: KeyState.ACTIVE, second: waiting, third: waiting}
    assert await issuer.signs_with() == first
    assert await issuer.serves() == {first, second, third}


async def test_activated_key_signs_and_the_one_before_is_still_served(case: Case) -> None:
    store, issuer = case
    first, second = await publish(store, 2)
    assert await do(store, activate, second)
    assert await states(store) == {first: KeyState.DEACTIVATED, second: KeyState.ACTIVE}
    assert await issuer.signs_with() == second
    assert await issuer.serves() == {first, second}


async def test_whole_life_of_a_key(case: Case) -> None:
    store, issuer = case
    first, second = await publish(store, 2)
    await do(store, activate, second)
    (key,) = [key for key in await store.keys() if key.kid == first]
    assert key.published_at <= (key.activated_at or key.published_at)
    assert key.superseded_at is not None
    assert await do(store, retire, first)
    (key,) = [key for key in await store.keys() if key.kid == first]
    assert key.retired_at is not None
    assert key.retired_at >= key.superseded_at  # type: ignore[operator]  # it was superseded
    assert await issuer.serves() == {first, second}
    assert await do(store, prune, first)
    assert await states(store) == {second: KeyState.ACTIVE}
    assert await issuer.serves() == {second}
    assert await issuer.signs_with() == second


async def test_what_is_done_already_is_said_and_changes_nothing(case: Case) -> None:
    store, _ = case
    first, second = await publish(store, 2)
    signer = Signer.generate()
    for expected in (True, False):
        async with store.changing("a test") as transaction:
            assert await transaction.publish(signer) is expected
    for verb, kid in ((activate, second), (retire, first), (prune, first), (revoke, first)):
        assert await do(store, verb, kid)
        before = await store.keys()
        assert not await do(store, verb, kid)
        assert await store.keys() == before


async def test_revoked_key_is_gone_at_once_and_does_not_come_back(case: Case) -> None:
    store, issuer = case
    signer = Signer.generate()
    await publish(store, 1)
    async with store.changing("a test") as transaction:
        await transaction.publish(signer)
    assert await do(store, revoke, signer.kid)
    assert signer.kid not in await states(store)
    assert signer.kid not in await issuer.serves()
    with pytest.raises(KeyInUseError, match="was revoked"):
        async with store.changing("a test") as transaction:
            await transaction.publish(signer)


async def test_revoked_keys_are_listed(case: Case) -> None:
    store, _ = case
    await publish(store, 1)
    kids = await publish(store, 2)
    for kid in kids:
        await do(store, revoke, kid)
    async with store.changing("a test", execute=False) as transaction:
        revoked = await transaction.revoked_keys()
    assert {key.kid for key in revoked} == {*kids}
    if isinstance(store, BetterAuthSigningKeys):
        assert [key.kid for key in revoked] == kids[::-1]
        assert all(key.revoked_at is not None for key in revoked)


async def test_key_that_signs_is_not_taken_away(case: Case) -> None:
    store, _ = case
    (first,) = await publish(store, 1)
    for verb in (retire, revoke, prune):
        with pytest.raises(KeyInUseError):
            await do(store, verb, first)
    assert await states(store) == {first: KeyState.ACTIVE}


async def test_key_that_waits_may_be_retired_unused(case: Case) -> None:
    store, issuer = case
    first, second = await publish(store, 2)
    with pytest.raises(KeyInUseError, match="retire it first"):
        await do(store, prune, second)
    assert await do(store, retire, second)
    assert await do(store, prune, second)
    assert await states(store) == {first: KeyState.ACTIVE}
    assert await issuer.signs_with() == first


async def test_key_that_has_signed_before_does_not_sign_again(case: Case) -> None:
    store, _ = case
    first, second = await publish(store, 2)
    await do(store, activate, second)
    with pytest.raises(KeyInUseError, match="publish another"):
        await do(store, activate, first)


async def test_key_that_is_not_there_is_unknown(case: Case) -> None:
    store, _ = case
    await publish(store, 1)
    for verb in (activate, retire):
        with pytest.raises(UnknownKeyError, match="no key nowhere"):
            await do(store, verb, "nowhere")
    assert not await do(store, prune, "nowhere")
    assert await do(store, revoke, "nowhere")


async def test_first_key_of_another_algorithm_waits_and_signs_for_nobody(case: Case) -> None:
    store, issuer = case
    (first,) = await publish(store, 1)
    (other,) = await publish(store, 1, "ES256")
    assert await states(store) == {first: KeyState.ACTIVE, other: KeyState.PRE_ACTIVATION}
    assert await issuer.signs_with() == first
    assert await issuer.signs_with("ES256") is None
    assert await issuer.serves() == {first, other}


async def test_each_algorithm_has_an_active_key(case: Case) -> None:
    store, issuer = case
    (first,) = await publish(store, 1)
    (other,) = await publish(store, 1, "ES256")
    assert await do(store, activate, other)
    assert await states(store) == {first: KeyState.ACTIVE, other: KeyState.ACTIVE}
    assert await issuer.signs_with() == await issuer.signs_with("EdDSA") == first
    assert await issuer.signs_with("ES256") == other
    for verb in (retire, revoke, prune):
        for kid in (first, other):
            with pytest.raises(KeyInUseError):
                await do(store, verb, kid)


async def test_whole_life_of_a_key_leaves_those_of_another_algorithm_as_they_are(
    case: Case,
) -> None:
    store, issuer = case
    (first,) = await publish(store, 1)
    (other,) = await publish(store, 1, "ES256")
    await do(store, activate, other)
    (waiting,) = await publish(store, 1, "ES256")

    async def others() -> list[SigningKey]:
        return [key for key in await store.keys() if key.algorithm == "ES256"]

    before = await others()
    (second,) = await publish(store, 1)
    for verb, kid in ((activate, second), (retire, first), (prune, first)):
        assert await do(store, verb, kid)
        assert await others() == before
        assert await issuer.signs_with() == second
        assert await issuer.signs_with("ES256") == other
    assert await do(store, activate, waiting)
    assert await issuer.signs_with() == second
    assert await issuer.signs_with("ES256") == waiting
    assert (await states(store))[other] is KeyState.DEACTIVATED


async def test_superseded_key_signs_for_its_pin_until_it_is_retired(case: Case) -> None:
    store, issuer = case
    first, second = await publish(store, 2)
    await do(store, activate, second)
    assert await issuer.can_sign(first)
    await do(store, retire, first)
    assert not await issuer.can_sign(first)


async def test_algorithm_that_is_ended_signs_no_more_and_is_still_served(case: Case) -> None:
    store, issuer = case
    first, second, waiting = await publish(store, 3)
    await do(store, activate, second)
    (other,) = await publish(store, 1, "ES256")
    await do(store, activate, other)
    async with store.changing("a test") as transaction:
        assert sorted(await transaction.retire_algorithm("EdDSA")) == sorted(
            [first, second, waiting]
        )
    over = KeyState.DEACTIVATED
    assert await states(store) == {
        **dict.fromkeys((first, second, waiting), over),
        other: KeyState.ACTIVE,
    }
    assert await issuer.signs_with() == await issuer.signs_with("ES256") == other
    assert await issuer.signs_with("EdDSA") is None
    assert await issuer.serves() == {first, second, waiting, other}
    # The algorithm may begin again, as it did the first time.
    (again,) = await publish(store, 1)
    assert (await states(store))[again] is KeyState.PRE_ACTIVATION
    assert await issuer.signs_with("EdDSA") is None
    assert await do(store, activate, again)
    assert await issuer.signs_with() == again


async def test_last_algorithm_is_not_ended(case: Case) -> None:
    store, issuer = case
    (first,) = await publish(store, 1)
    await publish(store, 1, "ES256")
    with pytest.raises(KeyInUseError, match="no key of another algorithm than EdDSA signs"):
        async with store.changing("a test") as transaction:
            await transaction.retire_algorithm("EdDSA")
    assert await issuer.signs_with() == first


async def test_of_two_operators_who_end_an_algorithm_one_does_it(case: Case) -> None:
    store, _ = case
    (first,) = await publish(store, 1)
    (other,) = await publish(store, 1, "ES256")
    await do(store, activate, other)

    async def end() -> list[str]:
        async with store.changing("a test") as transaction:
            return await transaction.retire_algorithm("EdDSA")

    assert sorted(await asyncio.gather(*(end() for _ in range(4)))) == [[], [], [], [first]]


async def test_change_that_fails_half_way_has_not_happened(case: Case) -> None:
    store, issuer = case
    first, second = await publish(store, 2)
    before = await store.keys()
    with pytest.raises(UnknownKeyError):  # noqa: PT012 - that both are one change is the point
        async with store.changing("a test") as transaction:
            await transaction.activate(second)
            await transaction.retire("nowhere")
    assert await store.keys() == before
    assert await issuer.signs_with() == first


async def test_of_two_operators_at_once_one_acts_and_one_is_told_so(case: Case) -> None:
    store, issuer = case
    first, second = await publish(store, 2)
    for verb, kid in ((activate, second), (retire, first), (prune, first), (revoke, first)):
        done = await asyncio.gather(*(do(store, verb, kid) for _ in range(5)))
        assert sorted(done) == [False] * 4 + [True]
    assert await issuer.signs_with() == second


async def test_operators_with_different_keys_at_once_leave_one_that_signs(case: Case) -> None:
    store, issuer = case
    first, *others = await publish(store, 5)
    assert all(await asyncio.gather(*(do(store, activate, kid) for kid in others)))
    found = await states(store)
    assert sorted(found.values()) == [KeyState.ACTIVE, *[KeyState.DEACTIVATED] * 4]
    assert found[first] is KeyState.DEACTIVATED
    assert found[await issuer.signs_with() or ""] is KeyState.ACTIVE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("DROP COLUMN alg", "the table jwks has no column alg: .* Better Auth to 1\\.7 or newer"),
        ('RENAME COLUMN "createdAt" TO created_at', "the database refused: column .* not exist"),
    ],
    ids=["Better Auth 1.6", "another schema"],
)
async def test_table_without_a_needed_column_is_refused_in_one_line(
    issuer_database: DatabaseUrls, change: str, message: str
) -> None:
    async with connected(issuer_database.auth) as connection:
        await connection.execute(f"ALTER TABLE jwks {change}")
    store = BetterAuthSigningKeys(
        reach(issuer_database.auth),
        secrets=IssuerSecrets(SECRET),
        algorithm="EdDSA",
        operator="tests",
    )
    for attempt in (store.keys(), store.reencrypt(None, "a test", execute=False)):
        with pytest.raises(KeyStoreError, match=f"^{message}[^\n]*$"):
            await attempt
