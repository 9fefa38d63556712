"""The breaker: what opens it, what a probe decides, and that there is one probe at a time."""

import asyncio
import logging
from typing import TypeVar

import pytest

from service.security.breaker import FAILURES, PAUSE_SECONDS, Breaker, StoreError

T = TypeVar("T")


class Store:
    """A store whose probes and pauses wait for the test."""

    def __init__(self) -> None:
        self.probes: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
        self.pauses: asyncio.Queue[tuple[float, asyncio.Future[None]]] = asyncio.Queue()
        self.breaker = Breaker(self._probe, sleep=self._sleep)

    async def _probe(self) -> None:
        answer = asyncio.get_running_loop().create_future()
        self.probes.put_nowait(answer)
        await answer

    async def _sleep(self, seconds: float) -> None:
        end = asyncio.get_running_loop().create_future()
        self.pauses.put_nowait((seconds, end))
        await end

    def fail(self, times: int) -> None:
        for _ in range(times):
            self.breaker.failed(self.breaker.answers)

    async def settle(self) -> None:
        """Wait until the check has ended."""
        async with asyncio.timeout(5):
            await asyncio.gather(*checks())
        assert self.breaker.closed


async def next_of(queue: asyncio.Queue[T]) -> T:
    async with asyncio.timeout(5):
        return await queue.get()


def checks() -> list[asyncio.Task[None]]:
    return [task for task in asyncio.all_tasks() if task.get_name() == "rate limit store"]


async def test_an_answer_between_failures_keeps_it_closed() -> None:
    store = Store()
    for _ in range(10):
        store.fail(FAILURES - 1)
        store.breaker.succeeded()
    assert store.breaker.closed
    assert store.probes.empty()


async def test_failure_is_not_one_of_the_store_if_it_answered_others_meanwhile() -> None:
    store = Store()
    answers = store.breaker.answers
    store.breaker.succeeded()
    for _ in range(1_000):
        store.breaker.failed(answers)
    assert store.breaker.closed


async def test_failures_in_a_row_start_one_probe_and_requests_go_on_without_the_store() -> None:
    store = Store()
    store.fail(1_000)
    assert not store.breaker.closed
    assert not store.breaker.open
    await next_of(store.probes)
    store.fail(1_000)
    await asyncio.sleep(0)
    assert store.probes.empty()
    await store.breaker.close()


async def test_requests_alone_do_not_open_it(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    store.fail(1_000)
    (await next_of(store.probes)).set_result(None)
    await store.settle()
    assert not store.breaker.open
    assert not caplog.records
    store.fail(FAILURES - 1)
    assert store.breaker.closed


async def test_it_opens_when_the_probe_fails_and_closes_when_one_succeeds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "service")
    store = Store()
    store.fail(FAILURES)
    (await next_of(store.probes)).set_exception(StoreError("no answer"))
    for _ in range(3):
        seconds, end = await next_of(store.pauses)
        assert seconds == PAUSE_SECONDS
        assert store.breaker.open
        assert not store.breaker.closed
        assert store.probes.empty()
        end.set_result(None)
        (await next_of(store.probes)).set_exception(StoreError("still no answer"))
    _, end = await next_of(store.pauses)
    end.set_result(None)
    (await next_of(store.probes)).set_result(None)
    await store.settle()
    assert not store.breaker.open
    unavailable, available = caplog.messages
    assert "the rate limit store is unavailable (no answer)" in unavailable
    assert "the rate limit store is available again" in available


async def test_probe_that_breaks_leaves_it_open_until_the_next_one() -> None:
    store = Store()
    store.fail(FAILURES)
    (await next_of(store.probes)).set_exception(RuntimeError("can't start new thread"))
    _, end = await next_of(store.pauses)
    assert store.breaker.open
    end.set_result(None)
    (await next_of(store.probes)).set_result(None)
    await store.settle()
    assert not store.breaker.open


async def test_closing_ends_the_check() -> None:
    store = Store()
    store.fail(FAILURES)
    assert len(checks()) == 1
    await store.breaker.close()
    assert not checks()
