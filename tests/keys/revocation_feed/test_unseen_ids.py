"""The ids that may still become visible."""

import random

from better_auth_keys.revocation_feed.unseen_ids import MAX_RANGES, SETTLE_SECONDS, UnseenIds
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


def test_id_that_was_passed_over_long_ago_is_forgotten_when_no_transaction_can_have_it() -> None:
    clock = ManualClock()
    unseen = UnseenIds(0, clock.monotonic)
    unseen.see([2])
    clock.advance(SETTLE_SECONDS - 1)
    unseen.see([4])
    overdue = [unseen.overdue]
    clock.advance(2)
    overdue.append(unseen.overdue)
    assert overdue == [False, True]
    assert wanted(unseen, 1)
    # Transaction 70 may have it: it was running at that time.
    for oldest_running, next_transaction in ((70, 90), (70, 95), (89, 99)):
        unseen.settle(oldest_running=oldest_running, next_transaction=next_transaction)
        assert wanted(unseen, 1)
    unseen.settle(oldest_running=90, next_transaction=99)
    assert not wanted(unseen, 1)
    assert not unseen.overdue
    assert wanted(unseen, 3)
    assert unseen.first == 3


def test_rest_of_a_range_is_as_old_as_the_range() -> None:
    clock = ManualClock()
    unseen = UnseenIds(0, clock.monotonic)
    unseen.see([5])
    clock.advance(SETTLE_SECONDS)
    unseen.settle(oldest_running=1, next_transaction=7)
    unseen.see([2])
    unseen.settle(oldest_running=7, next_transaction=9)
    assert [number for number in range(1, 8) if wanted(unseen, number)] == [6, 7]


def test_greater_ids_that_were_left_out_are_asked_for_again() -> None:
    unseen = UnseenIds(0)
    unseen.see([10])
    unseen.see([2, 3])
    assert [number for number in range(1, 13) if wanted(unseen, number)] == [
        *(1, *range(4, 10)),
        *(11, 12),
    ]


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
