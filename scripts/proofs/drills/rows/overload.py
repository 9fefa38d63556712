"""Drills of load: far more than can be served, and half of it for a while.

The flood shares a core with the database, so it cannot send ten times what a service answers.
Instead, 25 times as many clients as saturate the service send requests, without a pause while they
are served.

Before, between and after floods, the same users ask for their lists of 20 tasks over 32
connections instead of one for each user. So only the number of connections differs, not the work.

The goodput is judged by good answers per second of the service's CPU. Good answers per second of
the clock are reported beside it: a flood takes more of the core that it shares with the database,
and the same service answered 3,047 and 5,788 per second within a minute.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median
from typing import Final

from scripts.proofs.drills.drill import Drill, Seen
from scripts.proofs.drills.system.flood import Flood, flooding
from scripts.proofs.drills.system.measure import Usage, cpu_seconds_of, usage_of
from scripts.proofs.drills.system.service import Service
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import Traffic, milliseconds, percentile

_CLIENTS: Final = 16
_SATURATED_SECONDS: Final = 4.0
_TASKS: Final = 20
_FEW: Final = 32
_WARM_UP_SECONDS: Final = 3.0
"""Enough to verify the tokens of all users once."""
_BEST_SECONDS: Final = 5.0
_MANY: Final = 800
_FLOOD_SECONDS: Final = 90.0
_FLOODS: Final = 3
_CROWD: Final = 2_000
_PATIENT: Final = 8
_RETRY_SECONDS: Final = 1.0
_GOODPUT: Final = 0.8
_REFUSED_SECONDS: Final = 0.1
_RECOVERED_SECONDS: Final = 5.0
_ADMITTED_P99_SECONDS: Final = 3.0
_HALF_SECONDS: Final = 120.0
_SAMPLES: Final = 8
_FLAT: Final = 1.15
"""How much more the second half may use than the first."""
_PROBES: Final = ("/livez", "/readyz", "/metrics")
_PROBE_SECONDS: Final = 0.1
_BETWEEN_PROBES_SECONDS: Final = 0.2


async def saturation(stage: Stage, *services: Service) -> float:
    """Return the requests per second that clients without pauses reach."""
    async with stage.clients(_CLIENTS, *services) as crowd:
        await asyncio.sleep(_SATURATED_SECONDS)
        return crowd.ledger.requests / _SATURATED_SECONDS


async def flooded(stage: Stage) -> Seen:
    """Run far more clients than can be served, beside clients with a ledger."""
    seen = Seen()
    await _overload(stage, seen, _MANY, _FLOOD_SECONDS)
    return seen


async def two_thousand(stage: Stage) -> Seen:
    """Open 2,000 connections with requests, and watch the probes, the refusals and the goodput."""
    seen = Seen()
    probes = await _overload(stage, seen, _CROWD, _FLOOD_SECONDS)
    slowest = percentile(probes.good_seconds, 99)
    seen.require(slowest < _PROBE_SECONDS, f"p99 of the probes {milliseconds(slowest)}")
    return seen


async def _overload(stage: Stage, seen: Seen, connections: int, seconds: float) -> Traffic:
    """Flood a service, judge what the flood and a few patient clients saw; return the probes."""
    async with stage.service() as service:
        with _on_cores_of_their_own(service):
            return await _flood(stage, service, seen, _Size(connections, seconds))


@dataclass(frozen=True)
class _Size:
    """The size of a flood."""

    connections: int
    seconds: float


@dataclass(frozen=True)
class _Served:
    """What a flood saw, and the CPU seconds that the service used for it."""

    flood: Flood
    cpu_seconds: float

    @property
    def per_cpu_second(self) -> float:
        """Good answers per second of the service's CPU."""
        return self.flood.good_per_second * self.flood.seconds / self.cpu_seconds


async def _served(
    service: Service, connections: int, tokens: Sequence[str], seconds: float
) -> _Served:
    before = cpu_seconds_of(service.program.processes())
    flood = await flooding(service.port, connections, tokens, seconds)
    return _Served(flood, cpu_seconds_of(service.program.processes()) - before)


async def _flood(stage: Stage, service: Service, seen: Seen, size: _Size) -> Traffic:
    users = [f"flooder{number}" for number in range(size.connections)]
    await stage.database.add_tasks(users, _TASKS)
    tokens = [stage.issuer.token(user) for user in users]
    await _served(service, _FEW, tokens, _WARM_UP_SECONDS)
    probes, floods, recoveries = Traffic(), list[_Served](), list[float]()
    async with (
        stage.clients(_PATIENT, service, per_second=_PATIENT * 2) as crowd,
        _probing(service, probes),
    ):
        await crowd.until_all_are_served()
        for client in crowd.clients:
            client.pause = _RETRY_SECONDS  # as Retry-After says
        bests = [await _served(service, _FEW, tokens, _BEST_SECONDS)]
        for _ in range(_FLOODS):
            floods.append(await _served(service, size.connections, tokens, size.seconds / _FLOODS))
            recoveries.append(await crowd.until_all_are_served())
            bests.append(await _served(service, _FEW, tokens, _BEST_SECONDS))
    _judge_goodput(seen, bests, floods)
    statuses = sum((Counter(served.flood.statuses) for served in floods), Counter[str]())
    unexpected = statuses.keys() - {"200", "429", "503"}
    admitted = max(served.flood.good_p99 for served in floods)
    refused = percentile(crowd.ledger.traffic.refused_seconds, 99)
    seen.require(not unexpected, f"statuses {', '.join(sorted(unexpected))}")
    seen.require(
        not any(served.flood.without_retry_after for served in floods), "503 without Retry-After"
    )
    seen.require(admitted < _ADMITTED_P99_SECONDS, "p99 of admitted requests")
    seen.require(refused < _REFUSED_SECONDS, f"p99 of refusals {milliseconds(refused)}")
    recovered = max(recoveries)
    seen.require(recovered < _RECOVERED_SECONDS, f"recovered in {milliseconds(recovered)}")
    seen.fact(f"statuses {dict(statuses)}")
    seen.fact(f"p99 admitted {milliseconds(admitted)}, refused {milliseconds(refused)}")
    slowest = percentile(probes.good_seconds, 99), max(probes.good_seconds, default=0.0)
    seen.fact(f"probes: p99 {milliseconds(slowest[0])}, slowest {milliseconds(slowest[1])}")
    seen.fact(f"recovered in {milliseconds(recovered)}")
    seen.requests += statuses.total() + probes.requests
    seen.count(crowd.ledger)
    return probes


def _judge_goodput(seen: Seen, bests: Sequence[_Served], floods: Sequence[_Served]) -> None:
    """Compare each flood with what the service did just before and after it, and judge the median.

    A shared machine changes its speed within minutes.
    """
    around = list(pairwise(bests))
    by_cpu = [
        flood.per_cpu_second / fmean(best.per_cpu_second for best in both)
        for flood, both in zip(floods, around, strict=True)
    ]
    by_clock = [
        served.flood.good_per_second / fmean(best.flood.good_per_second for best in both)
        for served, both in zip(floods, around, strict=True)
    ]
    goodput = median(by_cpu)
    each = ", ".join(f"{share:.0%}" for share in by_cpu)
    seen.require(goodput > _GOODPUT, f"goodput {goodput:.0%} of the best")
    seen.fact(
        f"goodput {goodput:.0%} by the service's CPU ({each}), {median(by_clock):.0%} by the clock:"
        f" {median(best.flood.good_per_second for best in bests):.0f}/s at best,"
        f" {median(served.flood.good_per_second for served in floods):.0f}/s in the floods"
    )


@contextmanager
def _on_cores_of_their_own(service: Service) -> Iterator[None]:
    """Run the service on one core, and this process with the flood on another, if there are two."""
    usable = sorted(os.sched_getaffinity(0))
    for process in service.program.processes():
        process.cpu_affinity([usable[-1]])
    os.sched_setaffinity(0, {usable[0]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


@asynccontextmanager
async def _probing(service: Service, probes: Traffic) -> AsyncIterator[None]:
    """Ask the probes' paths, each on a new connection, a few times a second."""

    async def ask_on_and_on() -> None:
        while True:
            for path in _PROBES:
                probes.count(await service.ask("GET", path))
            await asyncio.sleep(_BETWEEN_PROBES_SECONDS)

    asking = asyncio.create_task(ask_on_and_on())
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.wait({asking})


async def half(stage: Stage) -> Seen:
    """Send half of the load that can be served, and measure what the processes use."""
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
        f"{_MANY} clients without a pause, for {_FLOODS} x {_FLOOD_SECONDS / _FLOODS:.0f} s",
        "early 503 or 429; bounded p99 for admitted requests; recovery within seconds",
        flooded,
        seconds=_FLOOD_SECONDS + 120,
    ),
    Drill(
        (71,),
        f"half of the maximum load, for {_HALF_SECONDS:.0f} s",
        "memory, descriptors and connections stay flat",
        half,
        seconds=_HALF_SECONDS + 120,
    ),
    Drill(
        (74,),
        f"{_CROWD:,} connections, for {_FLOODS} x {_FLOOD_SECONDS / _FLOODS:.0f} s",
        "excess requests get 503 in under 100 ms; probes answer in under 100 ms",
        two_thousand,
        seconds=_FLOOD_SECONDS + 120,
    ),
)
