"""Turns for expensive statements: their order, and how long a statement waits for one."""

import asyncio

import pytest

from service.database.turns import OwnerBusyError, Turns


class Work:
    """Statements that last until they are told to end."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.running: list[str] = []
        self.most = 0
        self.end = asyncio.Event()

    async def do(self, owner_id: str) -> None:
        async with self.turns.turn(owner_id):
            self.running.append(owner_id)
            self.most = max(self.most, len(self.running))
            try:
                await self.end.wait()
            finally:
                self.running.remove(owner_id)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_of_an_owner_runs_at_a_time_and_leaves_turns_to_others() -> None:
    work = Work(Turns(size=2, wait_seconds=30))
    tasks = [asyncio.create_task(work.do(name)) for name in ("alice",) * 8 + ("bob",)]
    await settled()
    assert work.running == ["alice", "bob"]
    work.end.set()
    await asyncio.gather(*tasks)
    assert work.most == 2


async def test_no_more_than_the_turns_run_at_a_time() -> None:
    work = Work(Turns(size=2, wait_seconds=30))
    tasks = [asyncio.create_task(work.do(f"owner-{number}")) for number in range(9)]
    await settled()
    assert work.running == ["owner-0", "owner-1"]
    work.end.set()
    await asyncio.gather(*tasks)
    assert work.most == 2


async def test_who_waits_too_long_for_the_owners_own_is_told_so() -> None:
    work = Work(Turns(size=2, wait_seconds=0.01))
    first = asyncio.create_task(work.do("alice"))
    await settled()
    with pytest.raises(OwnerBusyError):
        await work.do("alice")
    work.end.set()
    await first


async def test_who_waits_too_long_for_others_times_out() -> None:
    work = Work(Turns(size=1, wait_seconds=0.01))
    first = asyncio.create_task(work.do("alice"))
    await settled()
    with pytest.raises(TimeoutError):
        await work.do("bob")
    work.end.set()
    await first
    await work.do("bob")


async def test_cancelled_and_failed_ones_leave_their_turns_to_the_next_and_no_memory() -> None:
    turns = Turns(size=1, wait_seconds=30)
    work = Work(turns)
    holding, waiting, next_one = (asyncio.create_task(work.do("alice")) for _ in range(3))
    await settled()
    waiting.cancel()
    holding.cancel()
    await settled()
    assert work.running == ["alice"]
    work.end.set()
    await next_one
    with pytest.raises(ZeroDivisionError):
        async with turns.turn("bob"):
            _ = 1 / 0
    await work.do("carol")
    assert turns._queues == {}
