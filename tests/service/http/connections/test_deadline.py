"""A connection's time limit, on a clock of the test."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from service.http.connections.deadline import Deadline


class Timer:
    """A timer of the loop below."""

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at = at
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """An event loop that has a clock and timers only."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], Any]) -> Timer:
        self.timers.append(Timer(when, callback))
        return self.timers[-1]

    def advance(self, seconds: float) -> None:
        self.now += seconds
        due = [timer for timer in self.timers if timer.at <= self.now and not timer.cancelled]
        for timer in due:
            timer.cancelled = True
            timer.call()

    @property
    def running(self) -> int:
        return sum(not timer.cancelled for timer in self.timers)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def expiries() -> list[float]:
    return []


@pytest.fixture
def deadline(clock: Clock, expiries: list[float]) -> Deadline:
    loop = cast("asyncio.AbstractEventLoop", clock)
    return Deadline(loop, lambda: expiries.append(clock.now))


def test_it_expires_once(deadline: Deadline, clock: Clock, expiries: list[float]) -> None:
    deadline.set(10)
    clock.advance(9.9)
    assert expiries == []
    clock.advance(0.1)
    clock.advance(100)
    assert expiries == [110.0]


def test_a_later_one_needs_no_further_timer(
    deadline: Deadline, clock: Clock, expiries: list[float]
) -> None:
    deadline.set(5)
    for _ in range(100):
        deadline.set(10)
        deadline.set(60)
        deadline.set(5)
        clock.advance(0.01)
    assert len(clock.timers) == 1
    clock.advance(4.5)
    assert expiries == []
    assert clock.running == 1
    clock.advance(0.5)
    assert expiries == [pytest.approx(106)]


def test_an_earlier_one_counts_at_once(
    deadline: Deadline, clock: Clock, expiries: list[float]
) -> None:
    deadline.set(60)
    deadline.set(1)
    clock.advance(1)
    assert expiries == [101.0]
    assert clock.running == 0


def test_a_cleared_one_does_not_expire(
    deadline: Deadline, clock: Clock, expiries: list[float]
) -> None:
    deadline.set(5)
    deadline.clear()
    clock.advance(5)
    assert expiries == []
    deadline.set(5)
    clock.advance(5)
    assert expiries == [110.0]


def test_the_end_releases_the_timer(
    deadline: Deadline, clock: Clock, expiries: list[float]
) -> None:
    deadline.set(5)
    deadline.end()
    assert clock.running == 0
    deadline.set(5)
    clock.advance(5)
    assert expiries == []
