"""Connections are opened before they are needed, and while tasks wait for them."""

import asyncio

import pytest

from tests.service.database.fake_server import FakeConnection, Server, listed, settle


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

    async def counted() -> FakeConnection:
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


async def test_failed_or_cancelled_opening_loses_no_turn(server: Server) -> None:
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


async def test_waiter_takes_a_free_connection_while_its_own_is_opened(
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
