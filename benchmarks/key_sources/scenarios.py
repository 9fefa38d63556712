"""The scenarios that each client goes through, each time with an empty cache.

    python -m benchmarks.key_sources.scenarios PLAN MEASURED

Runs in a process of the client's own, on the default event loop. `clients`, `issuer` and this
module need the standard library only, so that they run beside any library.
"""

import asyncio
import importlib.metadata
import json
import math
import platform
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypedDict

from benchmarks.key_sources import clients
from benchmarks.key_sources.clients import Client, Plan
from benchmarks.key_sources.issuer import Issuer

CROWD: Final = 50
LOAD_REQUESTS: Final = 800
SEQUENCE: Final = 80
_FETCH_SECONDS: Final = 0.5
_TTL_SECONDS: Final = 1.0
_TICK: Final = 0.001


class Outcome(TypedDict):
    """How many requests were answered how, such as "400 good, 400 refused", and JWKS requests."""

    answers: str
    fetches: int


class Measured(TypedDict):
    """What was measured. Stalls are medians in milliseconds; outcomes go by scenario."""

    version: str
    python: str
    idle_stall: float
    stall: float
    outcomes: dict[str, Outcome]


class Scenarios:
    """The scenarios of one client."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._issuer = Issuer(plan.issuer, plan.keys[:1], plan.certificate)

    async def run(self) -> Measured:
        """Go through all scenarios."""
        plan, issuer, outcomes = self._plan, self._issuer, dict[str, Outcome]()
        half = LOAD_REQUESTS // 2
        issuer.start()
        async with self._warm():
            pass  # no scenario is to pay for imports and for loading TLS authorities
        idle_stalls, stalls = [], []
        for _ in range(5):
            idle_stalls.append(await longest_stall(asyncio.sleep(_FETCH_SECONDS)))
            stalls.append(await longest_stall(self._first_token(self._client())))
        client = self._client()
        async with client.lifespan:
            outcomes["cold"] = await self._load(client, plan.good[:CROWD])
        async with self._warm() as client:
            outcomes["unknown"] = await self._load(client, plan.unknown[:CROWD])
        async with self._warm() as client:
            outcomes["sequence"] = await self._load(client, plan.unknown[CROWD:], rate=20)
        if plan.has_ttl:
            outcomes["refusing"] = await self._outage(issuer.stop)
            issuer.start()
            outcomes["failing"] = await self._outage(lambda: setattr(issuer, "failing", True))
            issuer.failing = False
        async with self._warm() as client:
            tokens = plan.good[:half] + plan.rotated
            outcomes["rotation"] = await self._load(client, tokens, rate=200, rotate_at=half)
        return {
            "version": importlib.metadata.version(plan.distribution),
            "python": platform.python_version(),
            "idle_stall": statistics.median(idle_stalls),
            "stall": statistics.median(stalls),
            "outcomes": outcomes,
        }

    async def _outage(self, begin: Callable[[], None]) -> Outcome:
        async with self._warm(_TTL_SECONDS) as client:
            begin()
            await asyncio.sleep(_TTL_SECONDS + 0.5)  # however the library rounds its TTL
            return await self._load(client, self._plan.good[:20])

    async def _load(
        self,
        client: Client,
        tokens: Sequence[str],
        *,
        rate: float = math.inf,
        rotate_at: int | None = None,
    ) -> Outcome:
        """Send `rate` tokens a second, catching up after a stall, and wait for the answers."""
        before, began = len(self._issuer.arrivals), time.monotonic()
        asked = []
        for number, token in enumerate(tokens):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            if number == rotate_at:
                self._issuer.keys = self._plan.keys
            asked.append(asyncio.create_task(client.answer(token)))
        answers = Counter(await asyncio.gather(*asked))
        await asyncio.sleep(0.2)  # for fetches that no request waits for
        return {
            "answers": ", ".join(f"{count} {answer}" for answer, count in sorted(answers.items())),
            "fetches": len(self._issuer.arrivals) - before,
        }

    def _client(self, ttl: float | None = None) -> Client:
        client: Client = getattr(clients, self._plan.client)(self._plan, ttl)
        return client

    @asynccontextmanager
    async def _warm(self, ttl: float | None = None) -> AsyncIterator[Client]:
        """Start a client that has the keys, from a fetch without the delay of later ones."""
        self._issuer.delay = 0
        client = self._client(ttl)
        async with client.lifespan:
            await self._accept(client)
            self._issuer.delay = _FETCH_SECONDS
            yield client

    async def _first_token(self, client: Client) -> None:
        async with client.lifespan:
            await self._accept(client)

    async def _accept(self, client: Client) -> None:
        if (answer := await client.answer(self._plan.good[-1])) != "good":
            raise RuntimeError(f"a good token was not accepted: {answer}")


async def longest_stall(work: Awaitable[object]) -> float:
    """Return the longest time for which `work` kept the event loop from running, in milliseconds.

    A task sleeps for a millisecond again and again: its longest sleep counts, less a usual one.
    Time in which another program had the core is left out where the system counts it (Linux).
    """
    sleeps: list[float] = []

    async def tick() -> None:
        while True:
            began, waited = time.perf_counter(), _waited_for_core()
            await asyncio.sleep(_TICK)
            sleeps.append(time.perf_counter() - began - (_waited_for_core() - waited))

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(100 * _TICK)
    usual = statistics.median(sleeps)
    sleeps.clear()
    await work
    await asyncio.sleep(10 * _TICK)  # the sleep under way may be the longest
    ticker.cancel()
    return (max(sleeps) - usual) * 1e3


def _waited_for_core() -> float:
    try:  # "cpu_time run_delay timeslices" of this thread, in nanoseconds
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


if __name__ == "__main__":
    plan = Plan(**json.loads(Path(sys.argv[1]).read_text()))
    Path(sys.argv[2]).write_text(json.dumps(asyncio.run(Scenarios(plan).run())))
