"""What every contestant goes through, the same for all, each time with an empty cache.

    python -m benchmarks.key_sources.scenarios plan.json measured.json

Run by `contest` in a process of the contestant's own. The standard library only, so that it runs
beside any library; the default event loop for all.
"""

import asyncio
import importlib
import importlib.metadata
import json
import platform
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from benchmarks.key_sources.plan import (
    CROWD,
    FETCH_SECONDS,
    LOAD_RATE,
    LOAD_REQUESTS,
    OUTAGE_REQUESTS,
    SEQUENCE_RATE,
    STALL_RUNS,
    TTL_SECONDS,
    Answer,
    Answers,
    Contestant,
    Measured,
    Plan,
)
from benchmarks.key_sources.ticker import Ticker

_PATIENCE: Final = 10.0
_SETTLE: Final = 0.2
# Past the TTL, whatever rounding or jitter the library has.
_PAST_TTL: Final = TTL_SECONDS + 0.5


class IssuerControl:
    """Orders for the issuer's process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def order(self, **order: str | float) -> list[float]:
        """Give an order; tell when JWKS requests have arrived so far (monotonic seconds)."""
        self._writer.write(json.dumps(order).encode() + b"\n")
        arrivals: list[float] = json.loads(await self._reader.readline())
        return arrivals


class Scenarios:
    """The scenarios, in the order in which `run` goes through them."""

    def __init__(
        self, plan: Plan, make: Callable[[float | None], Contestant], issuer: IssuerControl
    ) -> None:
        self._plan = plan
        self._make = make
        self._issuer = issuer

    async def run(self, measured: Measured) -> None:
        """Go through all of them."""
        await self._warm_up()
        for _ in range(STALL_RUNS):
            measured.idle_stalls.append((await self._idle()).stall)
            ticker = await self._slow_fetch()
            measured.stalls.append(ticker.stall)
            measured.wall_stalls.append(ticker.wall_stall)
        measured.cold_fetches, measured.cold = await self._cold_crowd()
        measured.unknown_fetches, measured.unknown = await self._unknown_crowd()
        if self._plan.in_sequence:
            measured.sequence_fetches = await self._unknown_sequence()
        if self._plan.has_ttl:
            measured.outage_refused = await self._outage("refusing")
            measured.outage_failing = await self._outage("failing")
        measured.rotation = await self._rotation()

    async def _warm_up(self) -> None:
        """Have all imports done and all TLS trust loaded, so that nobody is measured by them."""
        async with self._started() as contestant:
            answer = await contestant.verify(self._plan.good[0])
        if answer != "good":
            raise RuntimeError(f"a good token was not taken: {answer}")

    @staticmethod
    async def _idle() -> Ticker:
        async with Ticker() as ticker:
            await asyncio.sleep(FETCH_SECONDS)
        return ticker

    async def _slow_fetch(self) -> Ticker:
        await self._issuer.order(delay=FETCH_SECONDS)
        contestant = self._make(None)
        async with Ticker() as ticker:
            await contestant.start()
            answer = await contestant.verify(self._plan.good[0])
        await contestant.stop()
        if answer != "good":
            raise RuntimeError(f"a good token was not taken after a slow fetch: {answer}")
        return ticker

    async def _cold_crowd(self) -> tuple[int, Answers]:
        before = len(await self._issuer.order(delay=FETCH_SECONDS))
        async with self._started() as contestant:
            answers = await _ask(contestant, self._plan.good[:CROWD])
            return await self._fetches_since(before), answers

    async def _unknown_crowd(self) -> tuple[int, Answers]:
        async with self._warm() as contestant:
            before = len(await self._issuer.order(delay=FETCH_SECONDS))
            answers = await _ask(contestant, self._plan.unknown[:CROWD])
            return await self._fetches_since(before), answers

    async def _unknown_sequence(self) -> list[float]:
        async with self._warm() as contestant:
            before = len(await self._issuer.order(delay=FETCH_SECONDS))
            began = time.monotonic()
            paced = _paced(self._plan.unknown[CROWD:], SEQUENCE_RATE)
            asked = [asyncio.create_task(_answer(contestant, token)) async for token in paced]
            await asyncio.gather(*asked)
            return [arrival - began for arrival in (await self._issuer.order())[before:]]

    async def _outage(self, mode: str) -> Answers:
        async with self._warm(TTL_SECONDS) as contestant:
            await self._issuer.order(mode=mode)
            await asyncio.sleep(_PAST_TTL)
            answers = await _ask(contestant, self._plan.good[:OUTAGE_REQUESTS])
        await self._issuer.order(mode="serving")
        return answers

    async def _rotation(self) -> Answers:
        await self._issuer.order(publish="before")
        async with self._warm() as contestant:
            await self._issuer.order(delay=FETCH_SECONDS)
            asked: list[asyncio.Task[Answer]] = []
            half = LOAD_REQUESTS // 2
            async for token in _paced(self._plan.good[:half] + self._plan.rotated, LOAD_RATE):
                if len(asked) == half:
                    await self._issuer.order(publish="after")
                asked.append(asyncio.create_task(_answer(contestant, token)))
            return dict(Counter(await asyncio.gather(*asked)))

    @asynccontextmanager
    async def _started(self, ttl: float | None = None) -> AsyncIterator[Contestant]:
        contestant = self._make(ttl)
        await contestant.start()
        try:
            yield contestant
        finally:
            await contestant.stop()

    @asynccontextmanager
    async def _warm(self, ttl: float | None = None) -> AsyncIterator[Contestant]:
        """Give a contestant that has the keys, by one fetch that took no time."""
        await self._issuer.order(delay=0)
        async with self._started(ttl) as contestant:
            if (answer := await contestant.verify(self._plan.good[-1])) != "good":
                raise RuntimeError(f"a good token was not taken when warming up: {answer}")
            yield contestant

    async def _fetches_since(self, before: int) -> int:
        """Count, with a moment's grace for fetches that nobody waits for."""
        await asyncio.sleep(_SETTLE)
        return len(await self._issuer.order()) - before


async def _paced(tokens: list[str], rate: float) -> AsyncIterator[str]:
    """Give `rate` tokens a second; whoever was held up catches up."""
    began = time.monotonic()
    for number, token in enumerate(tokens):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        yield token


async def _ask(contestant: Contestant, tokens: Iterable[str]) -> Answers:
    return dict(Counter(await asyncio.gather(*(_answer(contestant, token) for token in tokens))))


async def _answer(contestant: Contestant, token: str) -> Answer:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await contestant.verify(token)
    except TimeoutError:
        return "undecided"


async def main(plan_file: Path, measured_file: Path) -> None:
    """Go through the scenarios of a plan."""
    plan = Plan.read(plan_file)
    settings = plan.settings
    module, _, name = settings.adapter.partition(":")
    adapter: Callable[..., Contestant] = getattr(importlib.import_module(module), name)
    measured = Measured(
        version=importlib.metadata.version(settings.distribution),
        python=platform.python_version(),
    )
    control = IssuerControl(*await asyncio.open_connection("127.0.0.1", plan.control_port))
    await Scenarios(plan, lambda ttl: adapter(settings, ttl), control).run(measured)
    measured.write(measured_file)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
