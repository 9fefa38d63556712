"""Drills of processes that end: a service that is stopped, a worker that is killed."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, Self

from scripts.proofs.drills.drill import Drill, Seen
from scripts.proofs.drills.system.connection import CLOSED
from scripts.proofs.drills.system.service import Service
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import milliseconds
from scripts.proofs.drills.system.waiting import until

_CLIENTS: Final = 16
_DRAIN_SECONDS: Final = 2.0
_UNDER_LOAD_SECONDS: Final = 2.0
_STOPS: Final = 3
_REPLICAS: Final = 2
_STOPPED: Final = frozenset({0, 128 + signal.SIGTERM})
_NONE: Final[Mapping[str, str]] = {}
_WORKERS: Final = 3
_KILLS: Final = 3
_STALL_SECONDS: Final = 1.0


async def stopped(stage: Stage) -> Seen:
    """Stop and restart two replicas in turn with SIGTERM, while clients use both."""
    seen = Seen()
    async with Replicas(stage) as replicas, stage.clients(_CLIENTS, *replicas.all) as crowd:
        for number in range(_STOPS):
            await asyncio.sleep(_UNDER_LOAD_SECONDS)
            await replicas.restart(number % len(replicas.all), seen)
        refused = crowd.ledger.traffic.statuses["503"]
        seen.require(not refused, f"{refused} x 503")
        seen.fact(f"{_STOPS} stops, {crowd.ledger.traffic.refusals()}")
        seen.fact(f"longest stall {milliseconds(crowd.ledger.traffic.longest_stall)}")
    seen.fact(f"slowest stop {milliseconds(replicas.slowest_stop)}")
    cut = crowd.ledger.traffic.statuses[CLOSED]
    seen.require(not cut, f"{cut} requests in flight were cut off")
    seen.count(crowd.ledger)
    return seen


class Replicas:
    """Two replicas of a service that are stopped and started again on their ports."""

    def __init__(self, stage: Stage, settings: Mapping[str, str] = _NONE) -> None:
        self._stage = stage
        self._settings = {"DRAIN_SECONDS": str(_DRAIN_SECONDS), **settings}
        self.all: list[Service] = []
        self.slowest_stop = 0.0

    async def __aenter__(self) -> Self:
        for _ in range(_REPLICAS):
            service = await self._stage.start_service(self._settings)
            await service.until_ready()
            await self._stage.streams.until_open(service.port)
            self.all.append(service)
        return self

    async def __aexit__(self, *_: object) -> None:
        for service in self.all:
            await service.program.stop()

    async def restart(self, index: int, seen: Seen) -> None:
        """Stop a replica with SIGTERM to its first process, check how, and start it again."""
        service = self.all[index]
        loop = asyncio.get_running_loop()
        began = loop.time()
        service.program.process.send_signal(signal.SIGTERM)

        async def unready() -> bool:
            return await service.status("/readyz") == HTTPStatus.SERVICE_UNAVAILABLE

        await until(unready, "/readyz did not change", seconds=_DRAIN_SECONDS)
        # Readiness changes first: it still serves.
        seen.require(await service.status("/livez") == HTTPStatus.OK, "/livez not 200 at once")
        code = await service.program.wait()
        took = loop.time() - began
        seen.require(code in _STOPPED, f"exit code {code}")
        seen.require(took >= _DRAIN_SECONDS, f"ended after {milliseconds(took)}")
        self.slowest_stop = max(self.slowest_stop, took)
        again = await self._stage.start_service(self._settings, service.port)
        await again.until_ready()
        self.all[index] = again


async def worker_killed(stage: Stage) -> Seen:
    """Kill one of several workers with SIGKILL, a few times. The others serve meanwhile."""
    seen = Seen()
    async with (
        stage.service({"WEB_CONCURRENCY": str(_WORKERS)}) as service,
        stage.clients(_CLIENTS, service) as crowd,
    ):
        slowest = 0.0
        for _ in range(_KILLS):
            await asyncio.sleep(_UNDER_LOAD_SECONDS)
            workers = service.workers()
            seen.require(len(workers) == _WORKERS, f"{len(workers)} workers")
            workers[0].kill()
            await crowd.until_all_are_served()
            slowest = max(slowest, await until(_replaced(service, workers[0].pid), "no new worker"))
        seen.require(await service.status("/readyz") == HTTPStatus.OK, "/readyz not 200")
    stall = crowd.ledger.traffic.longest_stall
    seen.require(stall < _STALL_SECONDS, f"no good answer for {milliseconds(stall)}")
    seen.fact(f"{_KILLS} kills, {crowd.ledger.traffic.refusals()}")
    seen.fact(f"replaced within {milliseconds(slowest)}, longest stall {milliseconds(stall)}")
    seen.count(crowd.ledger)
    return seen


def _replaced(service: Service, killed: int) -> Callable[[], Awaitable[bool]]:
    async def replaced() -> bool:
        workers = service.workers()
        return len(workers) == _WORKERS and killed not in {worker.pid for worker in workers}

    return replaced


DRILLS: Final = (
    Drill(
        (68,),
        "SIGTERM under load",
        "requests in flight finish, readiness changes first, no 500",
        stopped,
    ),
    Drill(
        (69,),
        "kill -9 of one of several workers",
        "restarted, while the others serve",
        worker_killed,
    ),
)
