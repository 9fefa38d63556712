"""The memory of used DPoP proofs: its bounds in number and time."""

import pytest

from better_auth_keys import KeySetUnavailableError, TooManyDpopProofsError, UsedProofs
from tests.keys.signed_tokens import NOW


class Watch:
    now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


async def test_row61_proof_is_remembered_until_it_expires(watch: Watch) -> None:
    used = UsedProofs(now=watch)
    assert await used.add("key", "one", NOW + 70)
    watch.now += 69.9
    assert not await used.add("key", "one", NOW + 70)
    assert len(used) == 1
    watch.now += 60
    assert await used.add("key", "two", watch.now + 70)
    assert len(used) == 1


async def test_row61_same_jti_is_refused_although_its_time_differs(watch: Watch) -> None:
    used = UsedProofs(now=watch)
    assert await used.add("key", "one", NOW + 10)
    assert not await used.add("key", "one", NOW + 70)


async def test_row61_proof_is_refused_after_the_clock_went_back(watch: Watch) -> None:
    used = UsedProofs(now=watch)
    assert await used.add("key", "one", NOW + 10)
    watch.now += 100
    assert await used.add("key", "two", NOW + 170)
    watch.now = NOW
    assert not await used.add("key", "one", NOW + 10)
    assert not await used.add("key", "never seen", NOW + 10)
    assert await used.add("key", "three", NOW + 170)


async def test_row61_full_memory_accepts_nothing_until_proofs_expire(watch: Watch) -> None:
    used = UsedProofs(max_proofs=4, now=watch)
    for number in range(4):
        assert await used.add(f"key {number}", "one", NOW + 70)
    with pytest.raises(TooManyDpopProofsError) as full:
        await used.add("key", "two", NOW + 70)
    assert isinstance(full.value, KeySetUnavailableError)  # so applications answer 503
    assert full.value.code == "too_many_dpop_proofs"
    assert not await used.add("key 0", "one", NOW + 70)
    watch.now += full.value.retry_after
    assert await used.add("key", "two", watch.now + 70)
    assert len(used) == 1


async def test_row61_one_key_fills_a_quarter_only(watch: Watch) -> None:
    used = UsedProofs(max_proofs=8, now=watch)
    assert await used.add("key", "one", NOW + 10)
    assert await used.add("key", "two", NOW + 70)
    with pytest.raises(TooManyDpopProofsError):
        await used.add("key", "three", NOW + 70)
    assert await used.add("another key", "one", NOW + 70)


async def test_number_of_periods_is_bounded(watch: Watch) -> None:
    used = UsedProofs(now=watch)
    for second in range(1000):
        watch.now = NOW + second
        assert await used.add("key", str(second), watch.now + 70)
        assert len(used._periods) <= 4
    assert len(used) <= 100


def test_memory_for_no_proof_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        UsedProofs(max_proofs=0)
