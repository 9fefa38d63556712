"""Which admitted requests run, and which wait for how long."""

import asyncio
from collections import defaultdict

import pytest
from starlette.types import Scope

from service.http.connections.running import (
    EXPECTED_SECONDS,
    FEWEST,
    GATHER_SECONDS,
    LEASE_SECONDS,
    LOOK_SECONDS,
    WAIT_SECONDS,
    Client,
    Running,
    running_places,
)
from tests.service.http.connections.fakes import FakeClock, FakeLoop

MOST = 9
TWO_THIRDS = 6
GROUP = 3


class Line:
    """Requests of clients that are named by letters, and what became of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock()
        self.loop = FakeLoop()
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: self.loop)
        self.places = Running(MOST, clock=self.clock)
        self.clients: dict[str, Client] = {}
        self.scopes: dict[str, Scope] = {}
        self.numbers: defaultdict[str, int] = defaultdict(int)
        self.began: list[str] = []
        self.given_up: list[str] = []
        self.too_late: list[str] = []

    def ask(self, client: str, times: int = 1) -> None:
        """Send requests. Those of client "a" are "a0", "a1", and so on."""
        for _ in range(times):
            self._ask(client, f"{client}{self.numbers[client]}")
            self.numbers[client] += 1

    def _ask(self, client: str, name: str) -> None:
        who = self.clients.setdefault(client, Client(client))
        scope = self.scopes[name] = {}

        def begin() -> None:
            self.began.append(name)

        def give_up() -> None:
            self.given_up.append(name)

        if self.places.begin(who, scope):
            begin()
        elif not self.places.wait(who, scope, begin, give_up):
            self.too_late.append(name)

    def end(self, *names: str) -> None:
        """End requests, each after the places of the one before have been taken."""
        for name in names:
            self.end_at_once(name)
            self.gather()

    def end_at_once(self, *names: str) -> None:
        """End requests before the time is over for which free places wait for others."""
        for name in names:
            self.places.end(self.clients[name[0]], self.scopes[name])

    def release(self, name: str) -> None:
        self.places.release_place(self.clients[name[0]], self.scopes[name])
        self.gather()

    def gather(self) -> None:
        """Pass the time for which free places wait for others."""
        self._run_timer(GATHER_SECONDS)

    def pass_time(self, seconds: float) -> None:
        """Move the clock, with the timers that are due."""
        end = self.clock.now + seconds
        self.gather()
        while LOOK_SECONDS in self.timers() and self.clock.now + LOOK_SECONDS <= end:
            self.clock.now += LOOK_SECONDS
            self._run_timer(LOOK_SECONDS)
            self.gather()
        self.clock.now = end

    def timers(self) -> list[float]:
        """Return the seconds of the timers that are set."""
        return [timer.seconds for timer in self.loop.timers if not timer.cancelled]

    def _run_timer(self, seconds: float) -> None:
        """Run the timer of so many seconds if there is one."""
        for timer in self.loop.timers:
            if timer.seconds == seconds and not timer.cancelled:
                self.loop.timers.remove(timer)
                timer.call()
                return


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(monkeypatch)


def test_fault70_waiting_requests_begin_one_by_one_in_the_order_of_their_arrival(
    line: Line,
) -> None:
    line.ask("a", TWO_THIRDS + 3)
    assert len(line.began) == line.places.running == TWO_THIRDS
    assert line.places.waiting == 3
    for number in range(TWO_THIRDS + 3):
        line.end(f"a{number}")
        assert line.places.running <= TWO_THIRDS
    assert line.began == [f"a{number}" for number in range(TWO_THIRDS + 3)]
    assert (line.places.running, line.places.waiting) == (0, 0)


def test_fault70_client_that_waits_itself_leaves_places_for_others(line: Line) -> None:
    line.ask("a", 3 * MOST)
    line.ask("b")
    assert line.began[-1] == "b0"


def test_fault70_no_more_than_the_bound_run_whoever_asks(line: Line) -> None:
    for client in "abcdefghijklmnopqrstuvwxyz":
        line.ask(client)
    assert line.places.running == MOST
    assert line.began == [f"{client}0" for client in "abcdefghi"]


def test_fault70_clients_take_turns(line: Line) -> None:
    for client in "pqrstuvwx":
        line.ask(client)
    line.ask("a", 5)
    line.ask("b", 2)
    line.end("p0", "q0", "r0", "s0")
    assert line.began[MOST:] == ["a0", "b0", "a1", "b1"]


def test_newer_request_does_not_overtake_an_older_one_of_its_client(line: Line) -> None:
    for client in "pqrstuvwx":
        line.ask(client)
    line.ask("a", 2)
    line.end("p0")
    line.ask("a")
    line.end("q0", "r0", "s0")
    assert line.began[MOST:] == ["a0", "a1", "a2"]


def test_client_at_its_share_is_passed_over_until_it_is_below(line: Line) -> None:
    line.ask("a", TWO_THIRDS + 1)
    line.ask("b", 2)
    line.ask("c", 2)
    assert line.places.waiting == 2
    line.end("b0")
    assert line.began[-1] == "c1"
    line.ask("b")
    line.end("c0")
    assert line.began[-1] == "b2"
    line.end("a0", "a1")
    assert "a6" not in line.began
    line.end("a2")
    assert line.began[-1] == "a6"


def test_fault70_request_that_has_waited_too_long_is_given_up_before_it_begins(
    line: Line,
) -> None:
    line.ask("a", TWO_THIRDS + MOST)
    line.pass_time(WAIT_SECONDS - LOOK_SECONDS)
    # Requests that hang have given their places up.
    began = line.began.copy()
    assert line.given_up == []
    line.pass_time(LOOK_SECONDS)
    assert line.began == began
    assert began + line.given_up == [f"a{number}" for number in range(TWO_THIRDS + MOST)]
    assert line.given_up
    assert line.places.waiting == 0


def test_fault70_requests_that_hang_give_their_places_up(line: Line) -> None:
    for client in "pqrstuvwx":
        line.ask(client)
    line.ask("a", 2)
    line.pass_time(LEASE_SECONDS)
    assert line.places.waiting == 2
    line.pass_time(LOOK_SECONDS)
    assert line.began[MOST:] == ["a0", "a1"]
    assert line.places.running == MOST + 2
    # Their ends free no second place.
    line.end(*(f"{client}0" for client in "pqrstuvwx"))
    for client in "bcdefghijklm":
        line.ask(client)
    assert line.places.running == MOST


def test_clients_whose_requests_have_ended_are_forgotten(line: Line) -> None:
    for client in "abc":
        line.ask(client, 2)
    line.end("a0", "a1", "b0", "b1", "c0", "c1")
    [lease] = line.places._leases
    assert (lease.places, line.places.running) == ({}, 0)


def test_fault70_requests_that_hang_do_not_hold_up_those_of_the_same_client(line: Line) -> None:
    line.ask("a", TWO_THIRDS + 1)
    assert line.began == [f"a{number}" for number in range(TWO_THIRDS)]
    line.pass_time(LEASE_SECONDS)
    line.pass_time(LOOK_SECONDS)
    line.ask("a", TWO_THIRDS)
    assert len(line.began) == 2 * TWO_THIRDS
    line.end("a0")
    assert line.places.running == 2 * TWO_THIRDS - 1
    # The end of one that had given its place up frees none.
    assert line.places.waiting == 1


def test_fault70_request_whose_turn_would_come_too_late_is_refused_at_once(line: Line) -> None:
    """Few requests end, so the line is as long as it always may be."""
    line.ask("a", TWO_THIRDS + MOST)
    line.end("a0")
    line.pass_time(LOOK_SECONDS)
    line.ask("a", 3)
    assert line.too_late == ["a16", "a17"]
    assert line.places.waiting == MOST
    # The wait of another client is shorter, because clients take turns.
    line.ask("b", 3)
    assert line.places.is_waiting(line.scopes["b2"])


def test_fault70_line_is_as_long_as_the_requests_that_end_in_time(line: Line) -> None:
    line.ask("a", TWO_THIRDS + 3 * MOST)
    line.end_at_once(*(f"a{number}" for number in range(2 * MOST)))
    line.pass_time(LOOK_SECONDS)
    in_time = int(2 * MOST / LOOK_SECONDS * EXPECTED_SECONDS)
    line.ask("a", 2 * in_time)
    assert line.places.waiting == in_time + 1


def test_fault70_what_was_slow_once_does_not_bound_the_next_line(line: Line) -> None:
    line.ask("a", TWO_THIRDS + MOST)
    line.pass_time(LOOK_SECONDS)
    line.ask("a")
    assert line.too_late == ["a15"]
    line.end(*(f"a{number}" for number in range(TWO_THIRDS + MOST)))
    assert line.places.running == 0
    line.ask("a", TWO_THIRDS + 3 * MOST)
    assert line.too_late == ["a15"]


def test_request_that_is_withdrawn_is_not_begun_and_makes_room(line: Line) -> None:
    line.ask("a", TWO_THIRDS + 3)
    line.end("a6")
    assert not line.places.is_waiting(line.scopes["a6"])
    line.end("a0")
    assert line.began[-1] == "a7"
    line.end("a8")
    assert line.places.waiting == 0
    # Nothing waits, so nothing is looked at.
    assert line.timers() == []


def test_request_without_a_place_takes_none(line: Line) -> None:
    line.ask("a", TWO_THIRDS)
    scope: Scope = {}
    line.places.begin_without_place(scope)
    assert line.places.running == TWO_THIRDS + 1
    line.places.end(line.clients["a"], scope)
    assert line.places.running == TWO_THIRDS
    line.ask("b")
    assert line.began[-1] == "b0"


@pytest.mark.parametrize(("pool_size", "expected"), [(10, FEWEST), (40, 160)])
def test_larger_pool_has_more_places(pool_size: int, expected: int) -> None:
    assert running_places(pool_size) == expected


def test_request_that_has_to_wait_leaves_its_place_to_the_next(line: Line) -> None:
    line.ask("a", TWO_THIRDS + 2)
    assert line.began == [f"a{number}" for number in range(TWO_THIRDS)]
    line.release("a0")
    assert line.began[TWO_THIRDS:] == ["a6"]
    # Its end is not the end of a second place.
    line.end("a0")
    assert line.began[TWO_THIRDS:] == ["a6"]
    line.end("a1")
    assert line.began[TWO_THIRDS:] == ["a6", "a7"]
    assert line.places.running == TWO_THIRDS


def test_request_whose_lease_is_over_has_no_place_to_leave(line: Line) -> None:
    line.ask("a", TWO_THIRDS + 1)
    line.pass_time(2 * LEASE_SECONDS)
    taken_back = list(line.began)
    line.release("a0")
    line.end("a0")
    assert line.began == taken_back


def test_fault70_places_that_become_free_are_taken_by_a_group_at_once(line: Line) -> None:
    line.ask("a", TWO_THIRDS + 2 * GROUP)
    line.end_at_once("a0", "a1")
    assert len(line.began) == TWO_THIRDS
    line.end_at_once("a2")
    assert line.began[TWO_THIRDS:] == ["a6", "a7", "a8"]
    # The next group is counted from here.
    line.end_at_once("a3", "a4")
    assert len(line.began) == TWO_THIRDS + GROUP
    line.end_at_once("a5")
    assert line.began[TWO_THIRDS + GROUP :] == ["a9", "a10", "a11"]
    assert line.timers() == []


def test_place_of_an_unfinished_group_is_taken_after_a_short_time(line: Line) -> None:
    line.ask("a", TWO_THIRDS + GROUP)
    line.end_at_once("a0")
    assert line.timers() == [LOOK_SECONDS, GATHER_SECONDS]
    line.gather()
    assert line.began[TWO_THIRDS:] == ["a6"]
    # Without a free place, there is nothing to wait for.
    assert line.timers() == [LOOK_SECONDS]


def test_request_that_arrives_does_not_take_the_place_of_one_that_waits(line: Line) -> None:
    for client in "pqrstuvwx":
        line.ask(client)
    line.ask("a")
    line.end_at_once("p0")
    line.ask("a")
    line.ask("b")
    assert len(line.began) == MOST
    line.end_at_once("q0", "r0")
    assert line.began[MOST:] == ["a0", "b0", "a1"]


def test_fault70_client_need_not_wait_for_the_group_of_one_that_takes_all(line: Line) -> None:
    line.ask("a", 3 * MOST)
    line.end_at_once("a0")
    # Its newest request does not overtake its older ones.
    line.ask("a")
    assert len(line.began) == TWO_THIRDS
    line.ask("b")
    assert line.began[TWO_THIRDS:] == ["b0"]


def test_places_are_free_at_once_when_nobody_waits_any_more(line: Line) -> None:
    for client in "pqrstuvwx":
        line.ask(client)
    line.ask("a")
    line.end_at_once("p0", "a0")
    assert line.timers() == []
    line.ask("b")
    assert line.began[MOST:] == ["b0"]
