"""Measure what 2,000 connections do to good requests and to probes.

    python -m benchmarks.overload                     three rounds
    python -m benchmarks.overload --rounds 1 --seconds 3
    python -m benchmarks.overload --against DIR       measure another checkout's service instead

The service runs with its production settings on one core; the load and PostgreSQL share another.
Each round measures lists by 32 connections, which is the best that the service does, and then by
2,000. `patient` clients wait after a 503 for as long as its Retry-After asks; `impatient` ones send
the next request at once. Meanwhile another process asks `/livez`, `/readyz` and `/metrics` ten
times a second, each time over a new connection.

Latencies include the time that the load needs to notice an answer. With impatient clients, the load
competes with PostgreSQL for its core, which lowers goodput as well. Each line shows for how much of
the time other programs had the service's core: if it is more than a tenth, the latencies are those
of the machine. Only patient clients are compared with the promises.
Exit codes: 0 kept, 1 not kept, 2 usage.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.contenders import BEFORE, SERVICE, Running, Site, contenders
from benchmarks.kinds import KINDS, Visitors, request
from benchmarks.load import MANY_HOSTS, Load, Outcome
from benchmarks.peers.packages import Packages
from benchmarks.processes import cores, on_core
from benchmarks.samples import percentile
from benchmarks.stage import key_server, postgres
from benchmarks.world import World
from better_auth_keys import Signer

_USERS: Final = 200
_BEST_CONNECTIONS: Final = 32
_CONNECTIONS: Final = 2_000
_PROBES: Final = ("/livez", "/readyz", "/metrics")
_PROBE_PAUSE: Final = 0.1
_PROBE_PATIENCE: Final = 20.0
_LEAST_GOODPUT: Final = 0.8
_LONGEST_MS: Final = 100.0


@dataclass(frozen=True)
class Round:
    """What was seen of 2,000 connections. Times are in milliseconds."""

    best: float
    goodput: float
    refused_per_second: float
    admitted_p99: float
    refused_p99: float
    unexpected: dict[str, int]
    probes: dict[str, list[float]]
    without_core: float
    """The part of the time in which the service was ready to run while others had its core."""

    def line(self) -> str:
        """Return the figures as text."""
        probes = ", ".join(
            f"{path} p99 {percentile(sorted(seen), 99):.0f} max {max(seen):.0f}"
            for path, seen in self.probes.items()
        )
        return (
            f"best {self.best:.0f}/s, goodput {self.goodput:.0f}/s"
            f" ({self.goodput / self.best:.2f}), admitted p99 {self.admitted_p99:.0f} ms;"
            f" refused {self.refused_per_second:.0f}/s, p99 {self.refused_p99:.0f} ms;"
            f" probes: {probes} ms; {self.unexpected}; without its core"
            f" {self.without_core:.0%} of the time"
        )


def _ask(port: int, pipe: Connection) -> None:
    """Ask the probes in turns until something arrives, then return their latencies."""
    seen: dict[str, list[float]] = defaultdict(list)
    while not pipe.poll(_PROBE_PAUSE):
        for path in _PROBES:
            began = time.perf_counter()
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=_PROBE_PATIENCE) as link:
                    link.sendall(request("GET", path, None, extra="Connection: close\r\n"))
                    good = link.recv(1 << 16)[9:12] == b"200"
            except OSError:
                good = False
            seen[path].append((time.perf_counter() - began if good else _PROBE_PATIENCE) * 1e3)
    pipe.send(dict(seen))


def _measure(
    server: Running, visitors: Visitors, best: float, *, patient: bool, seconds: float
) -> Round:
    ours, theirs = multiprocessing.Pipe()
    asking = multiprocessing.get_context("fork").Process(target=_ask, args=(server.port, theirs))
    asking.start()
    without_core: list[float] = []
    try:
        load = Load(
            server.port,
            _lists(visitors),
            connections=_CONNECTIONS,
            hosts=MANY_HOSTS,
            patient=patient,
        )
        outcome = load.run(
            warm_up=1.0,
            seconds=seconds,
            began=lambda: without_core.append(-server.tree.seconds_without_core()),
            ended=lambda: without_core.append(server.tree.seconds_without_core()),
        )
    finally:
        ours.send("end")
        probes = ours.recv()
        asking.join()
    refused = sorted(outcome.unexpected_latencies) or [0.0]
    admitted = sorted(outcome.latencies)
    return Round(
        best=best,
        goodput=_goodput(outcome),
        refused_per_second=len(outcome.unexpected_latencies) / outcome.seconds,
        admitted_p99=percentile(admitted, 99) * 1e3,
        refused_p99=percentile(refused, 99) * 1e3,
        unexpected=dict(outcome.unexpected),
        probes=probes,
        without_core=sum(without_core) / outcome.seconds,
    )


def _lists(visitors: Visitors) -> "itertools.chain[tuple[bytes, int]]":
    requests = KINDS["list"].source(visitors, 0)
    return itertools.chain([next(requests)], requests)  # prepared before the clock starts


def _goodput(outcome: Outcome) -> float:
    return (outcome.answers - len(outcome.unexpected_latencies)) / outcome.seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and compare with the promises."""
    parser = argparse.ArgumentParser(
        "benchmarks.overload",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each measurement")
    parser.add_argument("--against", type=Path, help="measure another checkout's service instead")
    options = parser.parse_args(argv)
    rounds = asyncio.run(_run(options.rounds, options.seconds, options.against))
    goodput = median(found.goodput / found.best for found in rounds)
    refused = median(found.refused_p99 for found in rounds)
    slowest = {path: median(max(found.probes[path]) for found in rounds) for path in _PROBES}
    probes = ", ".join(f"{path} {longest:.0f}" for path, longest in slowest.items())
    print(
        f"goodput {goodput:.2f} of the best (promised: {_LEAST_GOODPUT}); refusals p99"
        f" {refused:.0f} ms, slowest probes {probes} ms (promised: {_LONGEST_MS:.0f} ms)"
    )
    slow = max(refused, *slowest.values()) > _LONGEST_MS
    return 1 if goodput < _LEAST_GOODPUT or slow else 0


async def _run(rounds: int, seconds: float, against: Path | None) -> list[Round]:
    server_core, other_core = cores()
    signer = Signer.generate("EdDSA")
    with on_core(other_core), key_server(signer) as issuer, postgres() as stage:
        world = World(signer, issuer, _USERS)
        await stage.fill(world, heavy=False)
        await stage.reset(heavy=False, will_change=False)
        site = Site.of(stage, issuer, server_core)
        [contender] = contenders([BEFORE if against else SERVICE], site, Packages(), against)
        visitors = Visitors(world, cold=0)
        server = contender.start(request("GET", "/api/tasks", visitors.tokens[0]))
        judged: list[Round] = []
        with server.program:
            for number in range(rounds):
                load = Load(
                    server.port,
                    _lists(visitors),
                    connections=_BEST_CONNECTIONS,
                    hosts=MANY_HOSTS,
                )
                best = _goodput(load.run(warm_up=0.5, seconds=seconds))
                for patient in (True, False):
                    found = _measure(server, visitors, best, patient=patient, seconds=seconds)
                    title = "patient" if patient else "impatient"
                    print(f"round {number + 1}, {title}: {found.line()}", flush=True)
                    if patient:
                        judged.append(found)
    return judged


if __name__ == "__main__":
    sys.exit(main())
