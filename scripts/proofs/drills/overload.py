"""Drills of load: far more than can be served, and half of it for a while.

The clients share a core with the database, so they cannot send ten times what a service answers.
Instead, fifty times as many clients as saturate it ask without a pause.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from scripts.proofs.drills.connection import Connection
from scripts.proofs.drills.drill import Drill, Seen
from scripts.proofs.drills.measure import Usage, usage_of
from scripts.proofs.drills.service import Service
from scripts.proofs.drills.stage import Stage
from scripts.proofs.drills.traffic import Traffic, milliseconds, percentile

_CLIENTS: Final = 16
_SATURATED_SECONDS: Final = 4.0
_FLOOD_SECONDS: Final = 60.0
_FLOODERS: Final = 800
_RECOVERED_SECONDS: Final = 5.0
_ADMITTED_P99_SECONDS: Final = 3.0
_HALF_SECONDS: Final = 120.0
_SAMPLES: Final = 8
_FLAT: Final = 1.15
"""How much more the second half may use than the first."""
_PROBES: Final = ("/livez", "/readyz", "/metrics")
_PROBE_SECONDS: Final = 0.1


async def saturation(stage: Stage, *services: Service) -> float:
    """Return how many requests per second clients reach that do not pause."""
    async with stage.clients(_CLIENTS, *services) as crowd:
        await asyncio.sleep(_SATURATED_SECONDS)
        return crowd.ledger.requests / _SATURATED_SECONDS


async def flooded(stage: Stage) -> Seen:
    """Let far more clients ask than can be served, beside clients with a ledger."""
    seen = Seen()
    async with stage.service() as service:
        best = await saturation(stage, service)
        async with stage.clients(_CLIENTS, service, per_second=best / 20) as crowd:
            await crowd.until_all_are_served()
            flood = Traffic()
            probes = Traffic()
            async with _asking(service, probes):
                await _flood(stage, service, flood)
            recovered = await crowd.until_all_are_served()
        admitted = percentile(flood.good_seconds, 99)
        refused = percentile(flood.refused_seconds, 99)
        unexpected = {name for name in flood.statuses if name not in {"200", "429", "503"}}
        seen.require(not unexpected, f"statuses {', '.join(sorted(unexpected))}")
        seen.require(not flood.without_retry_after, "503 without Retry-After")
        seen.require(admitted < _ADMITTED_P99_SECONDS, "p99 of admitted requests")
        seen.require(recovered < _RECOVERED_SECONDS, "recovery")
        seen.fact(f"{flood.refusals()} of {flood.requests}")
        seen.fact(f"{len(flood.good_seconds) / _FLOOD_SECONDS:.0f} good/s during the flood")
        seen.fact(f"p99 admitted {milliseconds(admitted)}, refused {milliseconds(refused)}")
        slowest = milliseconds(max(probes.good_seconds, default=0.0))
        seen.fact(f"slowest probe {slowest}; recovered in {milliseconds(recovered)}")
        seen.requests += flood.requests + probes.requests
    seen.count(crowd.ledger)
    return seen


async def _flood(stage: Stage, service: Service, flood: Traffic) -> None:
    """Send lists for a while, each client as fast as it is answered."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _FLOOD_SECONDS

    async def ask_on_and_on(number: int) -> None:
        token = stage.issuer.token(f"flooder{number}")
        connection = Connection(service.port, address=f"127.0.0.{2 + number % 250}")
        while loop.time() < end:
            flood.count(await connection.ask("GET", "/api/tasks", token=token), connection.failure)
        connection.close()

    async with asyncio.TaskGroup() as flooders:
        for number in range(_FLOODERS):
            flooders.create_task(ask_on_and_on(number))


@asynccontextmanager
async def _asking(service: Service, probes: Traffic) -> AsyncIterator[None]:
    """Ask the probes' paths, each on a new connection, ten times a second."""

    async def ask_on_and_on() -> None:
        while True:
            for path in _PROBES:
                probes.count(await service.ask("GET", path))
            await asyncio.sleep(_PROBE_SECONDS)

    asking = asyncio.create_task(ask_on_and_on())
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.wait({asking})


async def half(stage: Stage) -> Seen:
    """Send half of the load that can be served, and look at what the processes use."""
    seen = Seen()
    async with stage.service() as service:
        best = await saturation(stage, service)
        async with stage.clients(_CLIENTS, service, per_second=best / 2) as crowd:
            samples, connections = [], []
            for _ in range(_SAMPLES):
                await asyncio.sleep(_HALF_SECONDS / _SAMPLES)
                samples.append(usage_of(service.program.processes()))
                connections.append(await stage.database.connections())
        judge_flat(seen, samples, connections)
        seen.require(not crowd.ledger.traffic.statuses["503"], "503 at half of the load")
        seen.fact(f"{best / 2:.0f}/s for {_HALF_SECONDS:.0f} s, {crowd.ledger.traffic.refusals()}")
        seen.fact(f"p99.9 {milliseconds(percentile(crowd.ledger.traffic.good_seconds, 99.9))}")
    seen.count(crowd.ledger)
    return seen


def judge_flat(seen: Seen, samples: Sequence[Usage], connections: Sequence[int]) -> None:
    """Require that the second half of the samples uses no more than the first."""
    middle = len(samples) // 2
    for name, values in (
        ("MB", [sample.megabytes for sample in samples]),
        ("descriptors", [float(sample.descriptors) for sample in samples]),
        ("connections", [float(number) for number in connections]),
    ):
        first, second = max(values[:middle]), max(values[middle:])
        seen.fact(f"{name}: {first:.0f}, then {second:.0f}")
        seen.require(second <= first * _FLAT, f"{name} grew from {first:.0f} to {second:.0f}")


DRILLS: Final = (
    Drill(
        (70,),
        f"{_FLOODERS} clients without a pause, for {_FLOOD_SECONDS:.0f} s",
        "early 503 or 429; bounded p99 for admitted requests; recovery within seconds",
        flooded,
        seconds=_FLOOD_SECONDS + 120,
    ),
    Drill(
        (71,),
        "half of the maximum load",
        "memory, descriptors and connections stay flat",
        half,
        seconds=_HALF_SECONDS + 120,
    ),
)
