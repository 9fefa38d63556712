"""Measure what the notification of each changed task costs those that change tasks.

    python -m benchmarks.notifying
    python -m benchmarks.notifying --rounds 8 --seconds 3

A transaction that notifies takes a lock of the whole PostgreSQL server until it is committed, so
such commits wait for each other. Changes are measured with and without a notification in turn: as
many as possible at once, and 200 a second. Then the same with commits that take 5 ms, as on slow
disks or with a synchronous standby. PostgreSQL writes to the disk here, unlike in the other
benchmarks. The ratios with their ranges are on stdout. Exit codes: 0 done, 2 usage.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from benchmarks.stage import Postgres, durable_postgres, key_server
from benchmarks.world import LIVE_TASKS, World
from better_auth_keys import Signer
from service.database.execution import Database, DatabaseUnavailableError
from service.database.listener import Listener, Subscription
from service.database.url import parse_database_url
from service.events.tags import OwnerTags
from service.security.owner import Owner
from service.tasks.notifying import CHANNEL
from service.tasks.repository import TaskRepository

_USERS: Final = 50
_AT_ONCE: Final = 16
_PACE: Final = 200
_TAGS: Final = OwnerTags(b"benchmark" * 4)
_SLOW: Final = {"commit_delay": "5000", "commit_siblings": "0"}


@dataclass(frozen=True)
class Sample:
    """Changes a second, CPU of PostgreSQL for each in us, and the latencies in ms."""

    rate: float
    cpu: float
    median: float
    tail: float


class Changes:
    """Changes tasks of many users, each with or without a notification."""

    def __init__(self, world: World, database: Database, server: Postgres) -> None:
        self._world = world
        self._database = database
        self._server = server
        self._number = 0

    async def measure(self, seconds: float, *, notify: bool, pace: float | None) -> Sample:
        """Change tasks for a time: `pace` of them a second, or as many as possible."""
        latencies: list[float] = []
        ends, cpu = time.perf_counter() + seconds, self._processor_seconds()

        async def one() -> None:
            began = time.perf_counter()
            with suppress(DatabaseUnavailableError):  # no connection was free for a second
                await self._change(notify=notify)
                latencies.append((time.perf_counter() - began) * 1000)

        async def repeat() -> None:
            while time.perf_counter() < ends:
                await one()

        began = time.perf_counter()
        if pace is None:
            await asyncio.gather(*(repeat() for _ in range(_AT_ONCE)))
        else:
            running = []
            while (now := time.perf_counter()) < ends:
                running.append(asyncio.create_task(one()))
                await asyncio.sleep(max(0.0, began + len(running) / pace - now))
            await asyncio.gather(*running)
        took = time.perf_counter() - began
        cpu = self._processor_seconds() - cpu
        done = len(latencies)
        tail = statistics.quantiles(latencies, n=100)[98]
        return Sample(done / took, cpu / done * 1e6, statistics.median(latencies), tail)

    def _processor_seconds(self) -> float:
        return sum(self._server.tree.processor_seconds().values())

    async def _change(self, *, notify: bool) -> None:
        self._number += 1
        user = self._number % _USERS
        owner = Owner(self._world.user(user))
        tag = _TAGS.of(owner) if notify else None
        task = self._world.task_id(user, self._number // _USERS % LIVE_TASKS)
        tasks = TaskRepository(self._database, owner, tag=tag)
        await tasks.change(task, {"priority": self._number % 4})


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    options = parser.parse_args(argv)
    asyncio.run(_run(options.rounds, options.seconds))
    return 0


async def _run(rounds: int, seconds: float) -> None:
    signer = Signer.generate("EdDSA")
    with key_server(signer) as issuer, durable_postgres() as server:
        world = World(signer, issuer, _USERS)
        await server.fill(world, heavy=False)
        await server.reset(heavy=False, will_change=True)
        for name, settings in (("on this disk", {}), ("commits of 5 ms", _SLOW)):
            await server.alter(settings)
            async with _changes(world, server) as changes:
                await changes.measure(seconds, notify=True, pace=None)
                for pace in (None, _PACE):
                    what = "as many as possible" if pace is None else f"{pace}/s"
                    _report(f"{name}, {what}", await _pairs(changes, rounds, seconds, pace))


@asynccontextmanager
async def _changes(world: World, server: Postgres) -> AsyncIterator[Changes]:
    """Open the connections, one of which listens."""
    url = parse_database_url(server.app_url)
    database = Database(url, pool_size=_AT_ONCE, budget=60)
    listener = Listener(url, database, heartbeat_seconds=60)
    live = asyncio.Event()
    listener.subscribe(Subscription((CHANNEL,), lambda *_: None, resumed=live.set))
    listening = asyncio.create_task(listener.run())
    try:
        await live.wait()
        yield Changes(world, database, server)
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await database.close()


async def _pairs(
    changes: Changes, rounds: int, seconds: float, pace: float | None
) -> list[tuple[Sample, Sample]]:
    """Measure without and with notifications, in each round in the other order."""
    pairs = []
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
        found: dict[bool, Sample] = {}
        for notify in (False, True) if number % 2 else (True, False):
            found[notify] = await changes.measure(seconds, notify=notify, pace=pace)
        pairs.append((found[False], found[True]))
    return pairs


def _report(name: str, pairs: list[tuple[Sample, Sample]]) -> None:
    for title, unit, field in (
        ("changes a second", "", "rate"),
        ("CPU of PostgreSQL", " us", "cpu"),
        ("median", " ms", "median"),
        ("p99", " ms", "tail"),
    ):
        without, notified = ([getattr(pair[side], field) for pair in pairs] for side in (0, 1))
        ratios = sorted(after / before for before, after in zip(without, notified, strict=True))
        print(
            f"{name}: {title} {statistics.median(without):.4g}{unit} without,"
            f" {statistics.median(notified):.4g}{unit} with;"
            f" ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    sys.exit(main())
