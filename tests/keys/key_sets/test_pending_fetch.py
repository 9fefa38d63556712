"""Requests that wait for a fetch: they go on in order, one after the other."""

import asyncio

from better_auth_keys.clock import SystemClock
from better_auth_keys.key_sets.pending_fetch import PendingFetch


async def test_waiters_go_on_in_order_one_in_each_turn_of_the_loop() -> None:
    fetch, clock, went_on = PendingFetch(), SystemClock(), list[int]()

    async def wait(number: int) -> None:
        await fetch.wait(clock, 5)
        went_on.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(50)]
    await asyncio.sleep(0)
    fetch.end()
    before, most = 0, 0
    while len(went_on) < len(tasks):
        await asyncio.sleep(0)
        most, before = max(most, len(went_on) - before), len(went_on)
    assert went_on == list(range(50))
    assert most == 1
    await asyncio.gather(*tasks)


async def test_waiters_that_gave_up_are_not_kept() -> None:
    fetch = PendingFetch()
    await asyncio.gather(*(fetch.wait(SystemClock(), 0.001) for _ in range(20)))
    assert not fetch.done
    assert not fetch.waiters
