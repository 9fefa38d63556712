"""Each operation has its own slots, and the number of waiting calls is limited."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from service.accounts.bulkhead import Bulkhead
from service.accounts.errors import IssuerUnavailableError


async def test_full_operation_leaves_the_others_their_slots() -> None:
    bulkhead = Bulkhead(slots=2, waiting=1)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(bulkhead.slot("logout"))
        async with asyncio.timeout(1), bulkhead.slot("login"):
            pass
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0), bulkhead.slot("logout"):
                pass


async def test_caller_beyond_those_that_may_wait_is_refused_at_once() -> None:
    bulkhead = Bulkhead(slots=1, waiting=1)
    entered = asyncio.Event()

    async def wait_for_a_slot() -> None:
        async with bulkhead.slot("logout"):
            entered.set()

    async with bulkhead.slot("logout"):
        waiting = asyncio.create_task(wait_for_a_slot())
        await asyncio.sleep(0)
        with pytest.raises(IssuerUnavailableError):
            await bulkhead.slot("logout").__aenter__()
        assert not entered.is_set()
    await waiting
    assert entered.is_set()
    async with asyncio.timeout(1), bulkhead.slot("logout"):
        pass
