"""Parts that die or whose code changes. The test controls the clock and when parts end."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.devstack.keeper import Code, Keeper, PartDiedAgainError
from tests.scripts.waiting import PATIENCE_SECONDS

CHANGED = Path("/checkout/service/owner.py")


class FakePart:
    name = "service"
    log = Path("/logs/service.log")
    last_lines = ("first", "second")

    def __init__(self) -> None:
        self.started: asyncio.Queue[int] = asyncio.Queue()
        self.starts = 0
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        self._end = asyncio.get_running_loop().create_future()
        self.starts += 1
        self.started.put_nowait(self.starts)

    async def wait(self) -> str:
        return await asyncio.shield(self._end)

    async def stop(self) -> None:
        if not self._end.done():
            self._end.set_result("ended with exit code 143")

    def kill(self) -> None:
        self._end.set_result("ended with exit code 137")


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def kept(
    part: FakePart, clock: Clock, code: Code | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(Keeper(part, code, clock=clock).run())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_part_that_dies_is_started_again_with_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    part = FakePart()
    async with kept(part, Clock()):
        part.kill()
        await part.started.get()
    assert capsys.readouterr().out == (
        "dev: service ended with exit code 137; starting it again (log: /logs/service.log)\n"
    )


async def test_part_that_dies_twice_within_a_minute_ends_the_stack_with_its_last_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    part, clock = FakePart(), Clock()
    async with kept(part, clock) as keeping:
        part.kill()
        await part.started.get()
        clock.now += 59
        part.kill()
        with pytest.raises(PartDiedAgainError, match="for the second time within a minute"):
            await keeping
    assert capsys.readouterr().out.splitlines()[1:] == [
        "dev: the last lines of /logs/service.log:",
        "    first",
        "    second",
    ]


async def test_part_that_dies_again_after_a_minute_is_started_again() -> None:
    part, clock = FakePart(), Clock()
    async with kept(part, clock) as keeping:
        for _ in range(3):
            part.kill()
            await part.started.get()
            clock.now += 60
        assert not keeping.done()


def code_that(works: Callable[[], Coroutine[Any, Any, None]]) -> Code:
    return Code((), works)


async def test_part_is_reloaded_when_its_code_changes_however_often() -> None:
    async def at_once() -> None:
        return

    part, code = FakePart(), code_that(at_once)
    async with kept(part, Clock(), code) as keeping:
        for _ in range(3):
            code.changed.put_nowait(CHANGED)
            await part.started.get()
        assert not keeping.done()


async def test_part_with_broken_code_waits_for_the_next_change(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def never() -> None:
        await asyncio.get_running_loop().create_future()

    part, code = FakePart(), code_that(never)
    async with kept(part, Clock(), code) as keeping:
        for _ in range(3):
            code.changed.put_nowait(CHANGED)
            await part.started.get()
            part.kill()
        code.changed.put_nowait(CHANGED)
        await part.started.get()
        assert not keeping.done()
    assert "starting it again" not in capsys.readouterr().out


async def test_reloaded_part_that_worked_and_then_died_is_started_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    works = asyncio.Event()

    async def when_told() -> None:
        await works.wait()

    part, code = FakePart(), code_that(when_told)
    async with kept(part, Clock(), code):
        code.changed.put_nowait(CHANGED)
        await part.started.get()
        works.set()
        while "dev: service reloaded\n" not in (said := capsys.readouterr().out):  # noqa: ASYNC110 - it is only printed
            await asyncio.sleep(0)
        part.kill()
        await part.started.get()
    assert said + capsys.readouterr().out == (
        "dev: service reloaded\n"
        "dev: service ended with exit code 137; starting it again (log: /logs/service.log)\n"
    )


async def test_change_of_a_python_file_is_noticed_and_of_another_is_not(tmp_path: Path) -> None:
    async def at_once() -> None:
        return

    code = Code((tmp_path,), at_once)
    following = asyncio.create_task(code.follow())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            # A change before the start of watching is not noticed, so the change is repeated.
            while code.changed.empty():
                (tmp_path / "notes.txt").write_text("x")
                (tmp_path / "module.py").write_text("x = 1\n")
                await asyncio.sleep(0.05)
        assert code.changed.get_nowait() == tmp_path / "module.py"
    finally:
        following.cancel()
        await asyncio.wait({following})
