"""Measure what events do to good requests at half of saturation.

    python -m benchmarks.events                       all events, eight repetitions each
    python -m benchmarks.events --only refresh,bad-500 --repetitions 3
    python -m benchmarks.events --json FILE           the figures of each part of each repetition

The service runs with its production settings on one core. Good requests (lists of 200 users, warm
tokens) come at a fixed rate, half of what a closed loop reaches. Each repetition has three equal
parts: before, during and after the event; the control has none. Beside the revocations stand the
same writes to a table that the service does not know. A latency counts from when the request was
due.

Good requests come from 250 addresses and a flood from three others, as from an attacker with a few
machines. In the events named `shared`, the flood and all good requests come from one address, as
behind a NAT or a proxy that is not among TRUSTED_PROXIES. Only the tokens tell them apart then.

The load, PostgreSQL, the issuer and the flood share the other core. The service, the load and
PostgreSQL have real-time priority, which needs root: no other program takes their core. The issuer,
the flood and what causes the other events give way to them. The flood opens its connections before
the measurement, and what it sends is signed before the first one. If the service still waited for
its core for more than a tenth of the time, or if the load noticed one request in a hundred more
than 5 ms late, the repetition is marked as disturbed and repeated, up to twice. Disturbed
repetitions are not judged; a promise without a judged repetition counts as not kept.
Exit codes: 0 all promises were kept, 1 at least one was not, 2 usage, 3 it may not set priorities.
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import secrets
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from benchmarks.awake import cores_awake
from benchmarks.contenders import BEFORE, SERVICE, Running, Site, contenders
from benchmarks.kinds import KINDS, Visitors, request
from benchmarks.load import MANY_HOSTS, ONE_HOST, Load, Request
from benchmarks.peers.packages import Packages
from benchmarks.priority import going_first, put_first, put_last
from benchmarks.processes import cores, on_core
from benchmarks.promises import EVENTS, Part, disturbed, report
from benchmarks.samples import percentile
from benchmarks.stage import Postgres, key_server, postgres
from benchmarks.world import World, forged
from better_auth_keys import Signer

_USERS: Final = 200
_REVOCATIONS: Final = 5_000
_CONNECTIONS: Final = 128
_STRANGERS: Final = 2_000
_FEW_HOSTS: Final = range(252, 255)
_MORE_TRIES: Final = 2
_NO_RIGHT: Final = 3
_OPENED_SECONDS: Final = 1.0
"""After that, all connections of a flood are open, and the measurement begins."""
_MOMENT_SECONDS: Final = _OPENED_SECONDS + 0.5
"""When an event happens that takes only a moment. Its connection is open by then."""


class Drill:
    """A running service, and what can happen to it."""

    def __init__(
        self, server: Running, stage: Postgres, worlds: tuple[World, World], seconds: float
    ) -> None:
        self._port = server.port
        self._tree = server.tree
        self._stage = stage
        self._worlds = itertools.cycle(worlds)
        self._seconds = seconds
        self._visitors = Visitors(next(self._worlds), cold=0)
        self._strangers = _strangers(self._visitors.world)
        self.rate = 0.0

    def saturate(self) -> None:
        """Set the rate to half of what a closed loop reaches."""
        good = KINDS["list"].source(self._visitors, 0)
        load = Load(self._port, good, connections=32, hosts=MANY_HOSTS)
        outcome = load.run(warm_up=0.5, seconds=1.5)
        self.rate = outcome.answers / outcome.seconds / 2

    def repeat(self, name: str) -> list[Part]:
        """Measure good requests before, during and after an event."""
        hosts = ONE_HOST if EVENTS[name].shared else MANY_HOSTS
        before = self._measure(hosts)
        if name == "rotation":
            self._visitors = Visitors(next(self._worlds), cold=0)
            during = self._measure(hosts, warm_up=0)
        else:
            with _beside(self._event(name)):
                during = self._measure(hosts, warm_up=_OPENED_SECONDS)
        time.sleep(1)  # what waits for a fetch is answered within that
        return [before, during, self._measure(hosts)]

    def _measure(self, hosts: range, warm_up: float = 0.3) -> Part:
        good = KINDS["list"].source(self._visitors, 0)
        good = itertools.chain([next(good)], good)
        without_core: list[float] = []
        # Anew each time: threads may have been started since.
        put_first([*self._tree.threads(), *self._stage.tree.threads()])
        with going_first():
            outcome = Load(self._port, good, connections=_CONNECTIONS, hosts=hosts).run(
                warm_up=warm_up,
                seconds=self._seconds,
                rate=self.rate,
                began=lambda: without_core.append(-self._tree.seconds_without_core()),
                ended=lambda: without_core.append(self._tree.seconds_without_core()),
            )
        latencies, lateness = sorted(outcome.latencies), sorted(outcome.lateness)
        p50, p99 = (percentile(latencies, percent) * 1e3 for percent in (50, 99))
        return Part(
            p50_ms=p50,
            p99_ms=p99,
            answers=outcome.answers,
            refused=dict(outcome.unexpected),
            without_core=sum(without_core) / outcome.seconds,
            late_ms=percentile(lateness, 99) * 1e3,
        )

    def _event(self, name: str) -> Callable[[], None]:
        event = EVENTS[name]
        if event.bad_per_second:
            requests = self._unknown() if event.unknown_kids else self._forged()
            # Those with an unknown kid wait for up to a second.
            connections = 2 * event.bad_per_second if event.unknown_kids else 64
            hosts = ONE_HOST if event.shared else _FEW_HOSTS
            load = Load(self._port, requests, connections=connections, hosts=hosts)
            seconds = _OPENED_SECONDS + self._seconds + 0.2
            return lambda: _flood(load, seconds, event.bad_per_second)
        if name == "control":
            return lambda: None
        if name in {"revocations", "writes"}:
            noticed = name == "revocations"
            return lambda: _aside(
                self._stage.revoke(_REVOCATIONS, after=_MOMENT_SECONDS, noticed=noticed)
            )
        return lambda: _aside(self._stage.announce_keys(after=_MOMENT_SECONDS))

    def _forged(self) -> Iterator[Request]:
        token = self._visitors.world.token("stranger")
        yield from itertools.repeat((request("GET", "/api/tasks", forged(token)), 0))

    def _unknown(self) -> Iterator[Request]:
        for token in itertools.cycle(self._strangers):
            yield request("GET", "/api/tasks", token), 0


def _strangers(world: World) -> list[str]:
    """Return tokens that only lack a published key; no two have the same kid."""
    return [
        replace(world, signer=Signer.generate("EdDSA", kid=secrets.token_hex(16))).token("stranger")
        for _ in range(_STRANGERS)
    ]


@contextmanager
def _beside(work: Callable[[], None]) -> Iterator[None]:
    """Do work in another process, so that it does not delay the clock of the good requests."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    try:
        yield
    finally:
        process.join()


def _aside(event: Coroutine[None, None, None]) -> None:
    """Run an event in this process, which gives way to the load."""
    put_last()
    asyncio.run(event)


def _flood(load: Load, seconds: float, rate: int) -> None:
    # It stands for other machines, so the good requests must not be sent later because of it.
    put_last()
    outcome = load.run(warm_up=0, seconds=seconds, rate=rate)
    print(f"  flood: {dict(outcome.unexpected)}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, report, and compare with the promises."""
    parser = argparse.ArgumentParser(
        "benchmarks.events",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default=",".join(EVENTS), help="events, separated by commas")
    parser.add_argument("--repetitions", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each part")
    parser.add_argument("--against", type=Path, help="measure another checkout's service instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    options = parser.parse_args(argv)
    names = options.only.split(",")
    if unknown := [name for name in names if name not in EVENTS]:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(EVENTS)}")
    try:
        with going_first():
            pass
    except PermissionError:
        print(
            "benchmarks.events: real-time priority is not allowed; run it as root", file=sys.stderr
        )
        return _NO_RIGHT
    samples = asyncio.run(_run(names, options.repetitions, options.seconds, options.against))
    if options.json is not None:
        written = {
            name: [[asdict(part) for part in parts] for parts in repetitions]
            for name, repetitions in samples.items()
        }
        options.json.write_text(f"{json.dumps(written, indent=1)}\n", encoding="utf-8")
    kept = [report(EVENTS[name], repetitions, print) for name, repetitions in samples.items()]
    return 0 if all(kept) else 1


async def _run(
    names: Sequence[str], repetitions: int, seconds: float, against: Path | None
) -> dict[str, list[list[Part]]]:
    server_core, other_core = cores()
    signers = Signer.generate("EdDSA"), Signer.generate("EdDSA")
    samples: dict[str, list[list[Part]]] = {name: [] for name in names}
    with (
        cores_awake({server_core, other_core}),
        on_core(other_core),
        key_server(*signers) as issuer,
        postgres() as stage,
    ):
        worlds = World(signers[0], issuer, _USERS), World(signers[1], issuer, _USERS)
        await stage.fill(worlds[0], heavy=False)
        await stage.reset(heavy=False, will_change=False)
        # It would take the core of the load and the database in some parts, and not in others.
        await stage.alter({"autovacuum": "off"})
        site = Site.of(stage, issuer, server_core)
        [contender] = contenders([BEFORE if against else SERVICE], site, Packages(), against)
        question = request("GET", "/api/tasks", worlds[0].token(worlds[0].user(0)))
        server = contender.start(question)
        with server.program:
            drill = Drill(server, stage, worlds, seconds)
            for number, name in itertools.product(range(repetitions), names):
                for _ in range(1 + _MORE_TRIES):
                    # Anew each time: on a busy machine, half of saturation changes quickly.
                    drill.saturate()
                    title = f"{EVENTS[name].title}, {drill.rate:.0f} good requests/s"
                    print(f"round {number + 1}: {title}", file=sys.stderr, flush=True)
                    parts = drill.repeat(name)
                    samples[name].append(parts)
                    if not disturbed(parts):
                        break
                    print("  disturbed by other programs", file=sys.stderr)
    return samples


if __name__ == "__main__":
    sys.exit(main())
