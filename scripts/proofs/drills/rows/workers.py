"""Drills of the process that supervises workers, and of how a process starts and stops."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final

import psutil

from scripts.devstack.network import free_ports
from scripts.devstack.postgres.roles import provide
from scripts.proofs.drills.drill import Drill, Seen
from scripts.proofs.drills.system.service import Service
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import milliseconds
from scripts.proofs.drills.system.waiting import StageError, until

_CLIENTS: Final = 8
_WORKERS: Final = 2
_BROKEN_SECONDS: Final = 6.0
_RESTARTED_SECONDS: Final = 20.0
_LISTENS_SECONDS: Final = 1.0
_DRAIN_SECONDS: Final = 2.0
_METRICS_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
_UNDER_LOAD_SECONDS: Final = 2.0
_STOPPED_CODE: Final = 0
"""With several workers, as the docstring of `service.__main__` says."""


async def cannot_restart(stage: Stage) -> Seen:
    """Kill a worker while none can start, and let them start again later."""
    seen = Seen()
    async with stage.service({"WEB_CONCURRENCY": str(_WORKERS)}) as service:
        async with stage.clients(_CLIENTS, service) as crowd:
            await crowd.until_all_are_served()
            # The parent checks twice a second whether its workers have started.
            await asyncio.sleep(_UNDER_LOAD_SECONDS)
            # The healthy worker keeps its connections, but those of a new worker are refused.
            await stage.database.execute("ALTER ROLE app PASSWORD 'another'")
            killed = service.workers()[0]
            killed.kill()
            await asyncio.sleep(_BROKEN_SECONDS)
            if not service.program.running:
                raise StageError(f"the parent ended, exit code {await service.program.wait()}")
            await crowd.until_all_are_served()
            await provide(stage.server.url(), stage.passwords)
            took = await until(
                lambda: _has_workers(service, without=killed.pid),
                "no new worker",
                seconds=_RESTARTED_SECONDS,
            )
            await crowd.until_all_are_served()
        seen.fact(f"{_BROKEN_SECONDS:.0f} s without a worker, a new one {milliseconds(took)} later")
        service.program.process.send_signal(signal.SIGTERM)
        code = await service.program.wait()
        seen.require(code == _STOPPED_CODE, f"exit code {code} after SIGTERM")
        seen.fact(f"{crowd.ledger.traffic.refusals()}; exit code {code}")
    seen.count(crowd.ledger)
    return seen


async def _has_workers(service: Service, *, without: int) -> bool:
    pids = [worker.pid for worker in service.workers()]
    return len(pids) == _WORKERS and without not in pids


async def metrics_of_the_dead(stage: Stage) -> Seen:
    """Kill workers, and then a parent. Their gauges must be removed from /metrics."""
    seen = Seen()
    async with stage.service({"WEB_CONCURRENCY": str(_WORKERS)}) as service:
        folder = Path(service.workers()[0].environ()[_METRICS_FOLDER])
        for _ in range(2):
            killed = service.workers()[0]
            async with stage.clients(_CLIENTS, service) as crowd:
                await crowd.until_all_are_served()
                killed.kill()
                await until(lambda: _has_workers(service, without=killed.pid), "no new worker")  # noqa: B023 - awaited here
                await crowd.until_all_are_served()
            seen.count(crowd.ledger)
            seen.require(await service.status("/metrics") == HTTPStatus.OK, "/metrics not 200")
            files = _state_files(folder, killed.pid)
            seen.require(not files, f"{len(files)} files of a dead worker's state")
        service.program.process.kill()
        await service.program.wait()
    async with stage.service({"WEB_CONCURRENCY": str(_WORKERS)}):
        left = await asyncio.to_thread(folder.exists)
        seen.require(not left, "the files of a dead parent are left")
    seen.fact("2 dead workers and a dead parent left no state")
    return seen


def _state_files(folder: Path, pid: int) -> list[Path]:
    """Return the files of gauges of living processes; counters of dead ones must be kept."""
    return [*folder.glob(f"gauge_live*_{pid}.db")]


async def hanging_start(stage: Stage) -> Seen:
    """Start on a database that accepts connections and never answers."""
    seen = Seen()
    usual = await _seconds_to_live(stage, stage.url("app"))
    async with _silent_server() as port:
        url = stage.url("app").replace(f":{stage.server.port}/", f":{port}/")
        hanging = await _seconds_to_live(stage, url)
    late = hanging - usual
    seen.require(late < _LISTENS_SECONDS, f"/livez {milliseconds(late)} later than usual")
    seen.fact(f"/livez {milliseconds(hanging)} after the start, usually {milliseconds(usual)}")
    seen.requests += 2
    return seen


async def _seconds_to_live(stage: Stage, url: str) -> float:
    settings = {"DATABASE_URL": url, "DIRECT_DATABASE_URL": url}
    began = time.monotonic()
    async with stage.service(settings, ready=False) as service:

        async def lives() -> bool:
            return await service.status("/livez") == HTTPStatus.OK

        await until(lives, "/livez", seconds=60)
        return time.monotonic() - began


@asynccontextmanager
async def _silent_server() -> AsyncIterator[int]:
    writers: list[asyncio.StreamWriter] = []

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    [port] = free_ports(1)
    server = await asyncio.start_server(accept, "127.0.0.1", port)
    try:
        yield port
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


async def group_is_stopped(stage: Stage) -> Seen:
    """Send SIGTERM to all processes of a service at once, as systemd does."""
    seen = Seen()
    settings = {"WEB_CONCURRENCY": str(_WORKERS), "DRAIN_SECONDS": str(_DRAIN_SECONDS)}
    async with stage.service(settings) as service:
        began = time.monotonic()
        service.program.signal_group(signal.SIGTERM)

        async def unready() -> bool:
            return await service.status("/readyz") == HTTPStatus.SERVICE_UNAVAILABLE

        await until(unready, "/readyz did not change", seconds=_DRAIN_SECONDS)
        token = stage.issuer.token("user-in-time")
        while time.monotonic() - began < _DRAIN_SECONDS / 2:
            answer = await service.ask("GET", "/api/tasks", token=token)
            status = None if answer is None else answer.status
            seen.require(status == HTTPStatus.OK, f"{status} while it drains")
            seen.requests += 1
        code = await service.program.wait()
        took = time.monotonic() - began
    seen.require(took >= _DRAIN_SECONDS, f"ended after {milliseconds(took)}")
    seen.require(code == _STOPPED_CODE, f"exit code {code}")
    seen.fact(
        f"{seen.requests} requests served, ended after {milliseconds(took)}, exit code {code}"
    )
    return seen


async def hung_up(stage: Stage) -> Seen:
    """Send SIGHUP to each process of a service in turn. Each must ignore it."""
    seen = Seen()
    meanings: dict[str, str] = {}
    async with stage.service({"WEB_CONCURRENCY": "1"}) as service:
        meanings["a single process"] = await _meaning(service, service.program.process)
    async with stage.service({"WEB_CONCURRENCY": str(_WORKERS)}) as service:
        async with stage.clients(_CLIENTS, service) as crowd:
            await crowd.until_all_are_served()
            meanings["a worker"] = await _meaning(service, service.workers()[0])
            meanings["the parent"] = await _meaning(service, service.program.process)
            if service.program.running:
                await crowd.until_all_are_served()
        seen.count(crowd.ledger)
    seen.require(len(set(meanings.values())) == 1, f"{meanings}")
    seen.require(meanings["a single process"] != "ended", "SIGHUP ends a process")
    seen.fact(", ".join(f"{who}: {what}" for who, what in meanings.items()))
    return seen


async def _meaning(service: Service, process: psutil.Process) -> str:
    """Send SIGHUP, and return what it did to the process."""
    process.send_signal(signal.SIGHUP)
    await asyncio.sleep(2)
    ended = not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return "ended" if ended or not service.program.running else "runs on"


DRILLS: Final = (
    Drill(
        (77,),
        "a worker that cannot restart",
        "the healthy ones continue to serve; a failed start has exit code 1",
        cannot_restart,
    ),
    Drill(
        (80,), "workers that died", "their gauges are removed from /metrics", metrics_of_the_dead
    ),
    Drill(
        (82,),
        "a database that hangs at start",
        "/livez answers within 1 s",
        hanging_start,
    ),
    Drill(
        (83,),
        "SIGTERM to the whole process group",
        "every process drains for DRAIN_SECONDS",
        group_is_stopped,
    ),
    Drill((87,), "SIGHUP to one process", "every process ignores it", hung_up),
)
