"""`RevokedValues` agrees with a dictionary, in a small part of its memory."""

import itertools
import random
import tracemalloc

from better_auth_keys.revoked_values import RevokedValues

NEVER = float("-inf")


def test_map_agrees_with_a_dictionary_through_reloads() -> None:
    chance = random.Random(5)  # noqa: S311 - to be repeatable
    values = [f"s-{n}" for n in range(2_000)]
    revoked, expected = RevokedValues(), dict[str, float]()
    for turn in range(4):
        again = dict[str, float]()
        revoked.begin_generation()
        for _ in range(3_000):
            value, at = chance.choice(values[:1_500]), chance.random()
            revoked.add([value], [at])
            again[value] = max(again.get(value, NEVER), expected.get(value, NEVER), at)
        # Before the sweep, all former entries are still there.
        former = {**expected, **again}
        assert {one: revoked.revoked_at(one) for one in former} == former
        assert len(revoked) == len(former) or turn == 0
        for _ in revoked.sweep():
            pass
        expected = again
        assert len(revoked) == len(expected)
        for value in values:
            assert revoked.revoked_at(value) == expected.get(value, NEVER)


def test_first_sweep_can_be_interrupted_by_lookups_and_additions() -> None:
    revoked = RevokedValues()
    values = [f"s-{n}" for n in range(10_000)]
    revoked.add(values, range(10_000))
    revoked.add(values[:100], range(100, 200))
    for turn, _ in enumerate(revoked.sweep()):
        new, old = f"new-{turn}", values[turn]
        revoked.add([new, old], [turn, 20_000])
        assert revoked.revoked_at(new) == turn
        assert revoked.revoked_at(old) == 20_000
        assert revoked.revoked_at(values[9_000 + turn]) == 9_000 + turn
    # Arrays that the sweep had passed are sorted, too.
    for _ in revoked.sweep():
        pass
    assert len(revoked) == 10_512
    assert all(revoked.revoked_at(value) == 20_000 for value in values[:512])
    assert [revoked.revoked_at(f"new-{turn}") for turn in range(512)] == [*range(512)]


def test_generation_that_is_not_swept_removes_nothing() -> None:
    revoked = RevokedValues()
    revoked.add(["old"], [1])
    revoked.begin_generation()
    revoked.add(["new"], [1])
    revoked.begin_generation()
    revoked.add(["old"], [1])
    for _ in revoked.sweep():
        pass
    assert revoked.revoked_at("old") == 1
    assert revoked.revoked_at("new") == NEVER
    assert len(revoked) == 1


def test_fault79_sweep_takes_turns_and_frees_what_it_empties() -> None:
    revoked = RevokedValues()
    for n in range(10_000):
        revoked.add([f"s-{n}"], [n])
    revoked.begin_generation()
    steps = [len(revoked) for _ in revoked.sweep()]
    assert len(steps) == 512
    assert steps == sorted(steps, reverse=True)
    assert max(before - after for before, after in itertools.pairwise(steps)) < 100
    assert steps[-1] == 0


def test_fault79_entry_takes_few_bytes() -> None:
    revoked = RevokedValues()
    tracemalloc.start()
    try:
        for n in range(100_000):
            revoked.add([f"session-{n}"], [n])
        for _ in revoked.sweep():
            pass
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 17 bytes each; the rest is for the arrays themselves, and room to grow in.
    assert held / 100_000 < 40
