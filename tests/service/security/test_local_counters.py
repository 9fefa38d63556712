"""Counters in this process: what is allowed when, and what they cost."""

import pytest

from service.security.local_counters import Count, LocalCounters

MINUTE = 60


class Clock:
    """A clock that the tests move."""

    def __init__(self) -> None:
        self.now = 6000.0  # the first second of a minute

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counters(clock: Clock) -> LocalCounters:
    return LocalCounters(clock, max_names=3)


def test_hits_are_allowed_up_to_the_amount_and_say_what_is_left(counters: LocalCounters) -> None:
    counts = [counters.hit("tasks", "ada", 3, MINUTE) for _ in range(4)]
    assert [(count.allowed, count.remaining) for count in counts] == [
        (True, 2),
        (True, 1),
        (True, 0),
        (False, 0),
    ]
    assert counters.hit("tasks", "bob", 3, MINUTE) == Count(allowed=True, remaining=2, reset=60)
    assert counters.hit("login", "ada", 3, MINUTE).allowed


@pytest.mark.parametrize("amount", [1, 2, 3, 5, 60, 600])
@pytest.mark.parametrize("late", [0.0, 0.4, 29.5, 59.9])
def test_refused_hit_says_the_first_whole_second_in_which_one_is_allowed(
    clock: Clock, amount: int, late: float
) -> None:
    counters = LocalCounters(clock)
    clock.now += late
    while (count := counters.hit("tasks", "ada", amount, MINUTE)).allowed:
        pass
    began = clock.now
    clock.now = began + count.reset
    assert counters.hit("tasks", "ada", amount, MINUTE).allowed
    if count.reset > 1:
        early = LocalCounters(clock)
        clock.now = began
        while early.hit("tasks", "ada", amount, MINUTE).allowed:
            pass
        clock.now = began + count.reset - 1.01
        assert not early.hit("tasks", "ada", amount, MINUTE).allowed


def test_a_burst_at_the_end_of_a_window_is_not_followed_by_another(
    counters: LocalCounters, clock: Clock
) -> None:
    clock.now += 59
    assert all(counters.hit("tasks", "ada", 10, MINUTE).allowed for _ in range(10))
    clock.now += 2
    assert [counters.hit("tasks", "ada", 10, MINUTE).allowed for _ in range(2)] == [True, False]
    clock.now += 30
    assert sum(counters.hit("tasks", "ada", 10, MINUTE).allowed for _ in range(10)) == 5


def test_a_client_that_was_away_for_two_windows_starts_anew(
    counters: LocalCounters, clock: Clock
) -> None:
    for _ in range(3):
        counters.hit("tasks", "ada", 3, MINUTE)
    clock.now += 2 * MINUTE
    assert counters.hit("tasks", "ada", 3, MINUTE).remaining == 2


def test_memory_is_bounded_and_the_oldest_name_is_forgotten_first(
    counters: LocalCounters,
) -> None:
    for name in ("a", "b", "c", "d"):
        counters.hit("login", name, 1, MINUTE)
    assert [counters.hit("login", name, 1, MINUTE).allowed for name in ("b", "c", "d")] == [
        False,
        False,
        False,
    ]
    assert counters.hit("login", "a", 1, MINUTE).allowed
