"""The list of connections: how many are open, which goes out next, and which is replaced."""

import asyncio

import pytest

from service.database.connections import IDLE_SECONDS
from tests.service.database.fake_server import MAX_AGE_SECONDS, Server, listed, settle
from tests.simulators.clock import ManualClock


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
