"""What `noticing` notices, and that it changes nothing else."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from service.security.waiting import noticing


class Notes:
    """What happened, in order."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    @contextmanager
    def waiting(self) -> Iterator[None]:
        self.taken.append("waits")
        try:
            yield
        finally:
            self.taken.append("goes on")

    def refused(self) -> AbstractContextManager[None]:
        raise PermissionError


async def add(notes: Notes, turns: int = 0, error: Exception | None = None) -> int:
    """Wait for some turns of the event loop, and write down how that ended."""
    try:
        for _ in range(turns):
            await asyncio.sleep(0)
        if error is not None:
            raise error
    except BaseException as caught:
        notes.taken.append(type(caught).__name__)
        raise
    notes.taken.append("done")
    return turns


async def test_work_that_does_not_wait_is_only_done() -> None:
    notes = Notes()
    assert await noticing(add(notes), notes.waiting) == 0
    assert notes.taken == ["done"]


async def test_work_that_waits_often_is_noticed_once() -> None:
    notes = Notes()
    assert await noticing(add(notes, turns=3), notes.waiting) == 3
    assert notes.taken == ["waits", "done", "goes on"]


async def test_errors_are_raised_with_or_without_waiting() -> None:
    notes = Notes()
    for turns in (0, 1):
        with pytest.raises(LookupError):
            await noticing(add(notes, turns, LookupError()), notes.waiting)
    assert notes.taken == ["LookupError", "waits", "LookupError", "goes on"]


async def test_cancellation_reaches_the_work_where_it_waits() -> None:
    notes = Notes()
    never = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        try:
            await never
        except asyncio.CancelledError:
            notes.taken.append("cancelled")
            raise

    async def caller() -> None:
        await noticing(wait(), notes.waiting)

    task = asyncio.create_task(caller())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert notes.taken == ["waits", "cancelled", "goes on"]


async def test_time_limit_within_the_work_still_counts() -> None:
    notes = Notes()

    async def wait() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "in time"
        return "too late"

    assert await noticing(wait(), notes.waiting) == "in time"
    assert notes.taken == ["waits", "goes on"]


async def test_work_that_may_not_wait_gets_the_error_and_can_clean_up() -> None:
    notes = Notes()
    with pytest.raises(PermissionError):
        await noticing(add(notes, turns=1), notes.refused)
    assert notes.taken == ["PermissionError"]
