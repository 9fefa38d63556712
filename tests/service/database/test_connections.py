"""The connection pool: turns in order, no turn lost, no bad connection reused."""

import asyncio

import pytest

from service.database.connections import MAX_AGE_SECONDS, Connections
from tests.simulators.clock import ManualClock


class Fake:
    """A connection that does nothing."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.closed = self.agreed = False

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
    return Connections(server.connect, size=size, wait_seconds=wait_seconds, clock=clock.monotonic)


async def settle() -> None:
    """Let every task run until it waits."""
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
    assert (one.closed, connections.in_use) == (True, 0)
    assert (await connections.take()).number == 2


async def test_connection_is_replaced_when_it_is_too_old(server: Server) -> None:
    clock = ManualClock()
    connections = listed(server, 2, clock)
    one = await connections.take()
    connections.give_back(one)
    clock.advance(MAX_AGE_SECONDS - 1)
    assert await connections.take() is one
    clock.advance(1)
    connections.give_back(one)  # it became too old while in use
    assert one.closed
    two = await connections.take()
    connections.give_back(two)
    clock.advance(MAX_AGE_SECONDS)  # and this one became too old while idle
    assert (await connections.take()).number == 3
    assert two.closed


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
