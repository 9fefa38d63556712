"""Requests that wait for a fetch: they go on in order, one after the other."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from better_auth_keys.clock import SystemClock
from better_auth_keys.key_sets.pending_fetch import LONGEST_SECONDS, PAUSE_SECONDS, PendingFetch


async def going_on(number: int) -> AsyncIterator[Sequence[tuple[int, float]]]:
    """End a fetch for which so many wait. Return who goes on in each turn of the loop, and when."""
    fetch, clock, loop = PendingFetch(), SystemClock(), asyncio.get_running_loop()
    went_on: list[tuple[int, float]] = []

    async def wait(one: int) -> None:
        await fetch.wait(clock, 60)
        went_on.append((one, loop.time()))

    tasks = [asyncio.create_task(wait(one)) for one in range(number)]
    await asyncio.sleep(0)
    fetch.end()
    seen = 0
    while seen < number:
        await asyncio.sleep(0)
        yield went_on[seen:]
        seen = len(went_on)
    await asyncio.gather(*tasks)


async def test_waiters_go_on_in_order_one_in_each_turn_of_the_loop() -> None:
    went_on, most = list[int](), 0
    async for released in going_on(50):
        went_on += [number for number, _ in released]
        most = max(most, len(released))
    assert went_on == list(range(50))
    assert most == 1


async def test_waiters_go_on_with_pauses_in_between() -> None:
    begun = asyncio.get_running_loop().time()
    times = [at - begun async for released in going_on(50) for _, at in released]
    assert all(at >= number * PAUSE_SECONDS for number, at in enumerate(times))


async def test_the_pauses_between_many_waiters_are_shorter() -> None:
    number = int(20 * LONGEST_SECONDS / PAUSE_SECONDS)
    async with asyncio.timeout(number * PAUSE_SECONDS / 2):
        released = sum([len(released) async for released in going_on(number)])
    assert released == number


async def test_waiters_whose_time_ends_while_others_go_on_keep_their_turn() -> None:
    fetch, times = PendingFetch(), list[float]()
    loop = asyncio.get_running_loop()

    async def wait() -> None:
        await fetch.wait(SystemClock(), 5 * PAUSE_SECONDS)
        times.append(loop.time())

    async with asyncio.TaskGroup() as group:
        for _ in range(50):
            group.create_task(wait())
        await asyncio.sleep(0)
        begun = loop.time()
        fetch.end()
    assert all(at - begun >= number * PAUSE_SECONDS for number, at in enumerate(times))


async def test_waiter_whose_turn_does_not_come_goes_on_nevertheless() -> None:
    fetch = PendingFetch(done=True)
    async with asyncio.timeout(20 * LONGEST_SECONDS):
        await fetch.wait(SystemClock(), 0)


async def test_waiters_that_gave_up_are_not_kept() -> None:
    fetch = PendingFetch()
    await asyncio.gather(*(fetch.wait(SystemClock(), 0.001) for _ in range(20)))
    assert not fetch.done
    assert not fetch.waiters
