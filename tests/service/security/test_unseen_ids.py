"""The ids that may still become visible."""

import random

from service.security.unseen_ids import LONGEST_TRANSACTION, MAX_RANGES, UnseenIds
from tests.simulators.clock import ManualClock


def wanted(unseen: UnseenIds, number: int) -> bool:
    firsts, lasts = unseen.ranges()
    return any(first <= number <= last for first, last in zip(firsts, lasts, strict=True))


def test_seen_ids_are_not_asked_for_again_and_later_ones_are() -> None:
    unseen = UnseenIds(7)
    assert not wanted(unseen, 7)
    unseen.see([8, 9])
    assert [wanted(unseen, number) for number in (8, 9, 10, 10**15)] == [False, False, True, True]
    unseen.see([])
    assert wanted(unseen, 10)


def test_id_that_was_passed_over_is_asked_for_until_it_is_seen() -> None:
    unseen = UnseenIds(0)
    unseen.see([3, 6])
    assert [number for number in range(1, 8) if wanted(unseen, number)] == [1, 2, 4, 5, 7]
    unseen.see([2, 5])
    assert [number for number in range(1, 7) if wanted(unseen, number)] == [1, 4]


def test_id_that_was_passed_over_long_ago_was_rolled_back() -> None:
    clock = ManualClock()
    unseen = UnseenIds(0, clock.monotonic)
    unseen.see([2])
    clock.advance(LONGEST_TRANSACTION - 1)
    unseen.see([4])
    assert wanted(unseen, 1)
    clock.advance(2)
    assert not wanted(unseen, 1)
    assert wanted(unseen, 3)


def test_ranges_are_bounded_and_miss_nothing() -> None:
    unseen = UnseenIds(0)
    unseen.see(range(2, 10 * MAX_RANGES, 2))
    firsts, _ = unseen.ranges()
    assert len(firsts) <= MAX_RANGES + 1
    assert all(wanted(unseen, number) for number in range(1, 10 * MAX_RANGES, 2))


def test_whatever_the_order_of_commits_every_id_is_read_once() -> None:
    for seed in range(200):
        numbers = random.Random(seed)  # noqa: S311 - the same every time
        waiting, visible, read = list(range(1, 60)), list[int](), list[int]()
        unseen = UnseenIds(0)
        for _ in range(500):
            for _ in range(min(len(waiting), numbers.randrange(5))):
                visible.append(waiting.pop(numbers.randrange(min(len(waiting), 8))))
            found = [number for number in visible if wanted(unseen, number)]
            unseen.see(found)
            read += found
            visible = [number for number in visible if number not in found]
        assert sorted(read) == list(range(1, 60))
