"""The connection pool: turns in order, no turn lost, no bad connection reused."""

import asyncio
from typing import Any

import pytest

from service.database import line
from service.database.connections import IDLE_SECONDS, Connections
from tests.simulators.clock import ManualClock

MAX_AGE_SECONDS = 1800.0


class Fake:
    """A connection that does nothing."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = self.agreed = self.silent = False
        self.probes = 0

    async def probe(self) -> None:
        self.probes += 1
        if self.silent:
            raise TimeoutError

    def is_closed(self) -> bool:
        return self.closed

    def terminate(self) -> None:
        self.closed = True

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 - as the driver has it
        assert timeout > 0
        self.closed = self.agreed = True


class Server:
    """Opens connections, numbered from 1. It fails or hangs on demand."""

    def __init__(self) -> None:
        self.opened: list[Fake] = []
        self.fails = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def connect(self) -> Fake:
        await self.answers.wait()
        if self.fails:
            raise ConnectionRefusedError
        self.opened.append(Fake(len(self.opened) + 1))
        return self.opened[-1]


@pytest.fixture
def server() -> Server:
    return Server()


def listed(
    server: Server, size: int, clock: ManualClock | None = None, wait_seconds: float = 5
) -> Connections[Fake]:
    clock = clock or ManualClock()
    return Connections(
        server.connect,
        probe=Fake.probe,
        size=size,
        wait_seconds=wait_seconds,
        open_seconds=5,
        max_age_seconds=MAX_AGE_SECONDS,
        clock=clock.monotonic,
    )


async def settle() -> None:
    """Run every task until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_connection_used_last_goes_out_first(server: Server) -> None:
    connections = listed(server, 3)
    one, two = await connections.take(), await connections.take()
    connections.give_back(one)
    connections.give_back(two)
    assert await connections.take() is two
    assert await connections.take() is one
    assert len(server.opened) == 2


async def test_no_more_are_open_than_the_list_may_hold(server: Server) -> None:
    connections = listed(server, 3)
    most = 0

    async def use() -> None:
        nonlocal most
        connection = await connections.take()
        most = max(most, connections.in_use)
        await asyncio.sleep(0)
        connections.give_back(connection)

    await asyncio.gather(*(use() for _ in range(50)))
    assert (most, len(server.opened), connections.in_use) == (3, 3, 0)


async def test_turn_goes_to_the_longest_waiter_and_not_to_a_newcomer(server: Server) -> None:
    connections = listed(server, 1)
    held = await connections.take()
    served: list[str] = []

    async def wait(name: str) -> None:
        connection = await connections.take()
        served.append(name)
        connections.give_back(connection)

    waiting = []
    for name in ("first", "second"):
        waiting.append(asyncio.create_task(wait(name)))
        await settle()
    connections.give_back(held)
    # It asks before the first waiter runs again.
    await wait("newcomer")
    await asyncio.gather(*waiting)
    assert served == ["first", "second", "newcomer"]


async def test_health_check_gets_the_next_turn(server: Server) -> None:
    connections = listed(server, 1)
    held = await connections.take()
    served: list[str] = []

    async def wait(name: str, *, first: bool = False) -> None:
        connection = await connections.take(first=first)
        served.append(name)
        connections.give_back(connection)

    waiting = [asyncio.create_task(wait("request")), asyncio.create_task(wait("other request"))]
    await settle()
    waiting.append(asyncio.create_task(wait("health check", first=True)))
    await settle()
    connections.give_back(held)
    await asyncio.gather(*waiting)
    assert served == ["health check", "request", "other request"]


async def test_waiter_gives_up_in_time_and_the_list_stays_whole(server: Server) -> None:
    connections = listed(server, 1, wait_seconds=0.01)
    held = await connections.take()
    with pytest.raises(TimeoutError):
        await connections.take()
    connections.give_back(held)
    assert await connections.take() is held


@pytest.mark.parametrize("given_back_first", [False, True])
async def test_waiter_that_is_cancelled_loses_no_connection(
    server: Server,
    given_back_first: bool,  # noqa: FBT001 - pytest's own way
) -> None:
    connections = listed(server, 1)
    held = await connections.take()
    cancelled, next_one = (asyncio.create_task(connections.take()) for _ in range(2))
    await settle()
    if given_back_first:  # it already has its turn, but has not run yet
        connections.give_back(held)
    cancelled.cancel()
    await settle()
    if not given_back_first:
        connections.give_back(held)
    assert await next_one is held
    assert cancelled.cancelled()


async def test_turns_outlive_failures_and_cancellations_of_connecting(server: Server) -> None:
    connections = listed(server, 1)
    server.fails = True
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            await connections.take()
    server.fails = False
    server.answers.clear()
    connecting = asyncio.create_task(connections.take())
    await settle()
    connecting.cancel()
    await settle()
    server.answers.set()
    assert (await connections.take()).number == 1


async def test_closed_connection_is_replaced(server: Server) -> None:
    connections = listed(server, 2)
    one, two = await connections.take(), await connections.take()
    connections.give_back(one)
    two.closed = True
    connections.give_back(two)
    one.closed = True  # while it was idle
    assert (await connections.take()).number == 3
    assert connections.in_use == 1


async def test_discarded_connection_is_terminated_and_its_turn_is_free(server: Server) -> None:
    connections = listed(server, 1)
    one = await connections.take()
    connections.discard(one)
    assert connections.in_use == 0
    assert (await connections.take()).number == 2
    # The driver's close cancels the statement that runs on it.
    assert (one.closed, one.agreed) == (True, True)


async def test_connection_is_replaced_when_it_is_too_old(server: Server) -> None:
    clock = ManualClock()
    connections = listed(server, 2, clock)
    one = await connections.take()
    await settle()
    connections.give_back(one)
    clock.advance(MAX_AGE_SECONDS - 1)
    assert await connections.take() is one
    clock.advance(1)
    connections.give_back(one)  # it became too old while in use
    assert one.closed
    await settle()
    two = await connections.take()
    connections.give_back(two)
    clock.advance(MAX_AGE_SECONDS)
    # This one became too old while idle. It is used once more, so that nothing waits for another.
    assert await connections.take() is two
    connections.give_back(two)
    assert two.closed
    await settle()
    assert (await connections.take()).number == 3


async def test_old_connections_are_replaced_one_at_a_time(server: Server) -> None:
    clock = ManualClock()
    connections = listed(server, 2, clock)
    one, two = await connections.take(), await connections.take()
    await settle()
    clock.advance(MAX_AGE_SECONDS)
    server.answers.clear()
    connections.give_back(one)
    connections.give_back(two)
    assert (one.closed, two.closed) == (True, False)
    server.answers.set()
    await settle()
    assert await connections.take() is not two
    assert await connections.take() is two


async def test_pool_is_filled_before_connections_are_needed(server: Server) -> None:
    connections = listed(server, 3)
    connections.open_missing()
    assert await connections.opened() == []
    assert len(server.opened) == 3
    server.opened[0].closed = True
    server.fails = True
    connections.open_missing()
    (error,) = await connections.opened()
    assert isinstance(error, ConnectionRefusedError)
    assert [(await connections.take()).number for _ in range(2)] == [3, 2]


async def test_pool_opened_in_turn_is_complete_with_one_opening_at_a_time(server: Server) -> None:
    connections = listed(server, 3)
    begun: list[int] = []
    connect = server.connect

    async def counted() -> Fake:
        begun.append(len(server.opened))
        return await connect()

    connections._connect = counted
    await connections.open_in_turn()
    assert begun == [0, 1, 2]
    assert [(await connections.take()).number for _ in range(3)] == [3, 2, 1]


async def test_pool_opened_in_turn_stops_at_the_first_failure(server: Server) -> None:
    connections = listed(server, 3)
    server.fails = True
    await connections.open_in_turn()
    assert server.opened == []
    server.fails = False
    assert (await connections.take()).number == 1


async def test_waiter_takes_what_becomes_free_while_its_own_connection_is_opened(
    server: Server,
) -> None:
    connections = listed(server, 2)
    one = await connections.take()
    server.answers.clear()
    waiting = asyncio.create_task(connections.take())
    await settle()
    connections.give_back(one)
    assert await waiting is one
    server.answers.set()
    await settle()
    assert (await connections.take()).number == 2


async def test_waiter_waits_longer_while_a_connection_is_opened(server: Server) -> None:
    connections = listed(server, 1, wait_seconds=0)
    server.answers.clear()
    waiting, further = (asyncio.create_task(connections.take()) for _ in range(2))
    with pytest.raises(TimeoutError):
        await further  # the only one is for the other
    assert not waiting.done()
    server.answers.set()
    assert (await waiting).number == 1


async def test_failed_opening_fails_no_waiter_while_others_are_in_use(server: Server) -> None:
    connections = listed(server, 2)
    one = await connections.take()
    server.fails = True
    waiting = asyncio.create_task(connections.take())
    await settle()
    assert not waiting.done()
    connections.give_back(one)
    assert await waiting is one


async def test_connection_that_was_idle_answers_before_it_is_used(server: Server) -> None:
    clock = ManualClock()
    connections = listed(server, 1, clock)
    one = await connections.take()
    for idle, probes in ((IDLE_SECONDS - 1, 0), (IDLE_SECONDS, 1), (0, 1)):
        connections.give_back(one)
        clock.advance(idle)
        assert await connections.take() is one
        assert one.probes == probes
    connections.give_back(one)
    connections.doubt()
    assert await connections.take() is one
    assert one.probes == 2


async def test_silent_connection_is_dropped_with_those_that_were_idle_as_long(
    server: Server,
) -> None:
    clock = ManualClock()
    connections = listed(server, 4, clock)
    one, two, three, four = [await connections.take() for _ in range(4)]
    for connection in (one, two, three):
        connections.give_back(connection)
    clock.advance(IDLE_SECONDS)
    two.silent = three.silent = True
    assert (await connections.take()).number == 5
    assert [each.closed for each in (one, two, three, four)] == [True, True, True, False]
    assert (three.probes, two.probes) == (1, 0)
    assert connections.in_use == 2


async def test_retired_connections_are_replaced(server: Server) -> None:
    connections = listed(server, 2)
    used, idle = await connections.take(), await connections.take()
    connections.give_back(idle)
    connections.retire()
    assert (idle.closed, used.closed) == (True, False)
    connections.give_back(used)
    assert used.closed
    assert (await connections.take()).number == 3


async def test_connections_are_replaced_by_one_that_could_be_opened(server: Server) -> None:
    connections = listed(server, 2)
    used, idle = await connections.take(), await connections.take()
    connections.give_back(idle)
    server.fails = True
    with pytest.raises(ConnectionRefusedError):
        await connections.replace()
    assert (idle.closed, used.closed) == (False, False)
    server.fails = False
    await connections.replace()
    assert (idle.closed, used.closed) == (True, False)
    connections.give_back(used)
    assert used.closed
    assert (await connections.take()).number == 3


async def test_close_ends_idle_connections_now_and_used_ones_when_they_come_back(
    server: Server,
) -> None:
    connections = listed(server, 2)
    used, idle = await connections.take(), await connections.take()
    connections.give_back(idle)
    await connections.close()
    assert (idle.agreed, used.closed) == (True, False)
    connections.give_back(used)
    assert (used.closed, connections.in_use) == (True, 0)
    assert (await connections.take()).number == 3


async def test_all_tasks_in_line_share_a_timer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    times: list[float] = []
    call_at = loop.call_at

    def counted(when: float, *arguments: Any) -> asyncio.TimerHandle:
        times.append(when)
        return call_at(when, *arguments)

    monkeypatch.setattr(loop, "call_at", counted)
    monkeypatch.setattr(line, "_LATENESS_SECONDS", 0.0)
    pool = listed(server, size=1, wait_seconds=0.05)
    taken = await pool.take()
    waiters = [asyncio.ensure_future(pool.take()) for _ in range(50)]
    await settle()
    assert len(times) == 1
    pool.give_back(taken)
    assert await waiters[0] is taken
    outcomes = await asyncio.gather(*waiters[1:], return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {TimeoutError}
    pool.give_back(taken)
    assert await pool.take() is taken
