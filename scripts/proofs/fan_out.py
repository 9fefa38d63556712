"""Measure how fast one database passes revocations on to many replicas.

    python -m scripts.proofs.fan_out [--replicas N] [--revocations N] [--rate N] [--json]

Runs the part of each replica that follows revocations: its LISTEN connection with heartbeats, and
its list of revocations. All of them run in this process, and share `--connections` connections for
loading and heartbeats. It measures ten seconds without revocations, then revocations at a steady
rate, then as many again as fast as the database takes them. "Received" is the time from the start
of a revocation until its notification has arrived at a replica, "refused" until that replica
refuses the session. (In the burst the order decides which revocation it was.) Both include the
work of this one process for all replicas, which separate machines do at the same time.
Exit codes: 0 every replica refused every session, 1 not, 2 usage.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil
from sqlalchemy import text

from better_auth_keys import StaticKeySet
from better_auth_keys.revocation_feed import TOKENS_CHANNEL
from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.roles import DATABASE, RolePasswords, provide
from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, fail
from scripts.proofs.revocation_rows import superuser
from service.app import open_database
from service.database.listener import Listener, Subscription
from service.migrations.runner import upgrade
from service.security.audit import SecurityLog
from service.security.key_watch import KeyWatch
from service.security.revocations import Revocations
from service.settings.model import Settings

_QUIET_SECONDS: Final = 10.0
_MOST_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02
_WRITERS: Final = 8


@dataclass
class Replica:
    """What follows revocations in one replica, and when each revocation arrived."""

    watch: KeyWatch
    received: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)

    def hear(self, _channel: str, _payload: str) -> None:
        """Note that a notification arrived: there is one for each revocation."""
        self.received.append(time.perf_counter())

    def load(self) -> None:
        """Note that all revocations that are in the list now are refused."""
        now = time.perf_counter()
        self.refused += [now] * (len(self.watch.revocations) - len(self.refused))


class Costs:
    """The CPU time of PostgreSQL and of this process since the start of a phase."""

    def __init__(self, server: psutil.Process) -> None:
        self._server = server
        self._began, self._postgres, self._own = self._now()

    def _now(self) -> tuple[float, float, float]:
        processes = [self._server, *self._server.children(recursive=True)]
        spent = sum(_cpu_seconds(process.pid) for process in processes)
        return time.perf_counter(), spent, time.process_time()

    def since(self) -> dict[str, float]:
        """Return seconds by the clock, and CPU time in ms for each second."""
        now, postgres, own = self._now()
        seconds = now - self._began
        return {
            "seconds": round(seconds, 2),
            "postgres_cpu_ms_per_s": round(1000 * (postgres - self._postgres) / seconds, 1),
            "replicas_cpu_ms_per_s": round(1000 * (own - self._own) / seconds, 1),
        }


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process with one thread. psutil counts in steps of 10 ms."""
    spent = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]
    return int(spent) / 1e9


Result = dict[str, dict[str, float]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser("scripts.proofs.fan_out", __doc__)
    parser.add_argument("--replicas", type=int, default=100, help="how many follow (100)")
    parser.add_argument("--revocations", type=int, default=200, help="in each phase (200)")
    parser.add_argument("--rate", type=float, default=10, help="a second in the steady phase (10)")
    parser.add_argument("--connections", type=int, default=60, help="that the replicas share (60)")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    options = parser.parse_args(argv)
    with EmbeddedPostgres.ephemeral(say=_say) as server:
        try:
            result = asyncio.run(
                _measure(
                    server,
                    replicas=options.replicas,
                    number=options.revocations,
                    rate=options.rate,
                    connections=options.connections,
                )
            )
        except TimeoutError:
            return fail("scripts.proofs.fan_out", f"not done after {_MOST_SECONDS:.0f} s a phase")
    print(json.dumps(result, indent=2) if options.json else _table(result))
    return DONE


async def _measure(
    server: EmbeddedPostgres, *, replicas: int, number: int, rate: float, connections: int
) -> Result:
    passwords = RolePasswords()
    await provide(server.url(), passwords)
    await upgrade(passwords.urls(server.url())["owner"])
    settings = Settings(
        environment="development",
        database_url=passwords.urls(server.url())["app"].setting,
        better_auth_url="http://127.0.0.1",
    )
    database = open_database(settings, pool_size=connections)
    revocations = Revocations(database, settings.policy)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        admin = await stack.enter_async_context(superuser(server.url(DATABASE)))
        backend = (await admin.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        postmaster = psutil.Process(backend).parent()
        assert postmaster is not None  # noqa: S101 - a backend is the postmaster's child
        every = []
        for _ in range(replicas):
            listener = Listener(
                settings.listening_url, database, heartbeat_seconds=settings.heartbeat_seconds
            )
            replica = Replica(
                KeyWatch(
                    database,
                    listener,
                    StaticKeySet(()),
                    policy=settings.policy,
                    security=SecurityLog(settings.secret),
                    heartbeat_seconds=settings.heartbeat_seconds,
                )
            )
            listener.subscribe(
                Subscription((TOKENS_CHANNEL,), heard=replica.hear, resumed=lambda: None)
            )
            replica.watch.when_revoked(replica.load)
            await replica.watch.start(reachable=True)
            stack.push_async_callback(replica.watch.stop)
            every.append(replica)
        await _until_all(every, 0)
        quiet = Costs(postmaster)
        await asyncio.sleep(_QUIET_SECONDS)
        result = {"quiet": quiet.since()}
        for phase, pause, writers in (("steady", 1 / rate, 1), ("burst", 0.0, _WRITERS)):
            result[phase] = await _phase(
                every, revocations, postmaster, number=number, pause=pause, writers=writers
            )
    return result


async def _phase(  # noqa: PLR0913 - what a phase needs
    replicas: Sequence[Replica],
    revocations: Revocations,
    postmaster: psutil.Process,
    *,
    number: int,
    pause: float,
    writers: int,
) -> dict[str, float]:
    before = len(replicas[0].refused)
    sent: list[float] = []
    costs = Costs(postmaster)

    async def write(share: int) -> None:
        for n in range(share):
            began = time.perf_counter()
            sent.append(began)
            await revocations.add("session", f"{before}-{id(sent)}-{began}-{n}", "proof")
            await asyncio.sleep(max(0.0, began + pause - time.perf_counter()))

    async with asyncio.timeout(_MOST_SECONDS):
        async with asyncio.TaskGroup() as group:
            for _ in range(writers):
                group.create_task(write(number // writers))
        await _until_all(replicas, before + len(sent))
    spent = costs.since()
    for name in ("received", "refused"):
        spans = [
            1000 * (arrived - began)
            for replica in replicas
            for arrived, began in zip(getattr(replica, name)[before:], sent, strict=False)
        ]
        cuts = statistics.quantiles(spans, n=100)
        spent |= {
            f"{name}_p50_ms": round(cuts[49], 1),
            f"{name}_p99_ms": round(cuts[98], 1),
            f"{name}_max_ms": round(max(spans), 1),
        }
    return {"revocations": len(sent), **spent}


async def _until_all(replicas: Sequence[Replica], number: int) -> None:
    """Wait until all replicas listen, have received and refuse so many."""
    async with asyncio.timeout(_MOST_SECONDS):
        while not all(  # noqa: ASYNC110 - the replicas are ready at different times
            replica.watch.listening and min(len(replica.received), len(replica.refused)) >= number
            for replica in replicas
        ):
            await asyncio.sleep(_POLL_SECONDS)


def _table(result: Result) -> str:
    return "\n".join(
        f"{phase:<7} " + ", ".join(f"{name} {value:g}" for name, value in figures.items())
        for phase, figures in result.items()
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
