"""What `noticing` notices, and that it changes nothing else."""

import asyncio
import gc
import weakref

import pytest

from service.security.waiting import noticing


class Notes:
    """What happened, in order."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def waits(self) -> None:
        self.taken.append("waits")

    def refuse(self) -> None:
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
    assert await noticing(add(notes), notes.waits) == 0
    assert notes.taken == ["done"]


async def test_work_that_waits_often_is_noticed_once() -> None:
    notes = Notes()
    assert await noticing(add(notes, turns=3), notes.waits) == 3
    assert notes.taken == ["waits", "done"]


async def test_errors_are_raised_with_or_without_waiting() -> None:
    notes = Notes()
    for turns in (0, 1):
        with pytest.raises(LookupError):
            await noticing(add(notes, turns, LookupError()), notes.waits)
    assert notes.taken == ["LookupError", "waits", "LookupError"]


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
        await noticing(wait(), notes.waits)

    task = asyncio.create_task(caller())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert notes.taken == ["waits", "cancelled"]


async def test_time_limit_within_the_work_still_counts() -> None:
    notes = Notes()

    async def wait() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "in time"
        return "too late"

    assert await noticing(wait(), notes.waits) == "in time"
    assert notes.taken == ["waits"]


async def test_work_that_may_not_wait_gets_the_error_and_can_clean_up() -> None:
    notes = Notes()
    with pytest.raises(PermissionError):
        await noticing(add(notes, turns=1), notes.refuse)
    assert notes.taken == ["PermissionError"]


async def test_work_is_closed_with_its_caller() -> None:
    notes = Notes()

    async def caller() -> None:
        await noticing(add(notes, turns=1), notes.waits)

    called = caller()
    called.send(None)
    called.close()
    assert notes.taken == ["waits", "GeneratorExit"]


class RefusedError(Exception):
    """An error that can be referred to weakly."""


async def test_errors_are_freed_without_a_collection() -> None:
    left: list[weakref.ref[RefusedError]] = []

    def refuse() -> None:
        error = RefusedError()
        left.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    async def call() -> None:
        try:
            await noticing(add(Notes(), turns=1), refuse)
        except RefusedError:
            return

    gc.disable()
    try:
        await call()
        assert [one() for one in left] == [None]
    finally:
        gc.enable()
