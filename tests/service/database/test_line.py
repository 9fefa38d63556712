"""The line for a connection: in turn, with a time limit, and no turn is lost."""

import asyncio
from typing import Any

import pytest

from service.database import line
from tests.service.database.fake_server import Server, listed, settle


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


async def test_waiter_gives_up_in_time_and_keeps_no_connection(server: Server) -> None:
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
