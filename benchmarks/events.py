"""Measure what events do to good requests at half of saturation.

    python -m benchmarks.events                       all events, five repetitions each
    python -m benchmarks.events --only refresh,bad-500 --repetitions 3
    python -m benchmarks.events --json FILE           all samples

The service runs with its production settings on one core. Good requests (lists of 200 users, warm
tokens) come at a fixed rate, half of what a closed loop reaches. Each repetition has three equal
parts: before, during and after the event; the control has none. A latency counts from when the
request was due. The load shares its core with PostgreSQL, and all requests come from one address.
Exit codes: 0 all promises were kept, 1 at least one was not, 2 usage.
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.contenders import BEFORE, SERVICE, Running, Site, contenders
from benchmarks.kinds import KINDS, Visitors, request
from benchmarks.load import Load, Request
from benchmarks.peers.packages import Packages
from benchmarks.processes import cores, on_core
from benchmarks.samples import percentile
from benchmarks.stage import Postgres, key_server, postgres
from benchmarks.world import World, forged
from better_auth_keys import JWKS_PATH, Signer
from scripts.devstack.settings import DEFAULT_HOME
from scripts.operations.private_files import make_private_folder

_USERS: Final = 200
_REVOCATIONS: Final = 5_000
_CONNECTIONS: Final = 128


@dataclass(frozen=True)
class Event:
    """Something that happens, and how much it may move the 99th percentile of good requests."""

    title: str
    promise: float | None
    """The greatest ratio of p99; None if only refusals are promised not to happen."""
    bad_per_second: int = 0
    unknown_kids: bool = False


EVENTS: Final = {
    "control": Event("nothing", None),
    "refresh": Event("JWKS is fetched", 1.2),
    "rotation": Event("all users change to a published key", 1.2),
    "revocations": Event("5,000 revocations", 1.2),
    "unknown-500": Event("500 unknown kids/s", 2.0, 500, unknown_kids=True),
    "bad-500": Event("500 bad signatures/s", 2.0, 500),
    "unknown-2000": Event("2,000 unknown kids/s", None, 2000, unknown_kids=True),
    "bad-2000": Event("2,000 bad signatures/s", None, 2000),
}


@dataclass(frozen=True)
class Part:
    """One third of a repetition."""

    p50_ms: float
    p99_ms: float
    answers: int
    refused: dict[str, int]


class Drill:
    """A running service, and what can happen to it."""

    def __init__(
        self, server: Running, stage: Postgres, worlds: tuple[World, World], seconds: float
    ) -> None:
        self._port = server.port
        self._stage = stage
        self._worlds = itertools.cycle(worlds)
        self._seconds = seconds
        self._visitors = Visitors(next(self._worlds), cold=0)
        self.rate = 0.0

    def saturate(self) -> None:
        """Set the rate to half of what a closed loop reaches."""
        good = KINDS["list"].source(self._visitors, 0)
        outcome = Load(self._port, good, connections=32).run(warm_up=0.5, seconds=1.5)
        self.rate = outcome.answers / outcome.seconds / 2

    def repeat(self, name: str) -> list[Part]:
        """Measure good requests before, during and after an event."""
        before = self._measure()
        if name == "rotation":
            self._visitors = Visitors(next(self._worlds), cold=0)
            during = self._measure(warm_up=0)
        else:
            with _beside(self._event(name)):
                during = self._measure()
        time.sleep(1)  # what waits for a fetch is answered within that
        return [before, during, self._measure()]

    def _measure(self, warm_up: float = 0.3) -> Part:
        good = KINDS["list"].source(self._visitors, 0)
        good = itertools.chain([next(good)], good)
        outcome = Load(self._port, good, connections=_CONNECTIONS).run(
            warm_up=warm_up, seconds=self._seconds, rate=self.rate
        )
        latencies = sorted(outcome.latencies)
        p50, p99 = (percentile(latencies, percent) * 1e3 for percent in (50, 99))
        return Part(p50, p99, outcome.answers, dict(outcome.unexpected))

    def _event(self, name: str) -> Callable[[], None]:
        event = EVENTS[name]
        if event.bad_per_second:
            requests = self._unknown() if event.unknown_kids else self._forged()
            # Those with an unknown kid wait for up to a second.
            connections = event.bad_per_second if event.unknown_kids else 64
            load = Load(self._port, requests, connections=connections)
            return lambda: _flood(load, self._seconds + 0.2, event.bad_per_second)
        if name == "control":
            return lambda: None
        if name == "revocations":
            return lambda: asyncio.run(self._stage.revoke(_REVOCATIONS))
        return lambda: asyncio.run(self._stage.announce_keys())

    def _forged(self) -> Iterator[Request]:
        token = self._visitors.world.token("stranger")
        yield from itertools.repeat((request("GET", "/api/tasks", forged(token)), 0))

    def _unknown(self) -> Iterator[Request]:
        world = self._visitors.world
        strangers = [
            replace(world, signer=Signer.generate("EdDSA", kid=secrets.token_hex(16)))
            for _ in range(2_000)
        ]
        tokens = [stranger.token("stranger") for stranger in strangers]
        for token in itertools.cycle(tokens):
            yield request("GET", "/api/tasks", token), 0


@contextmanager
def _beside(work: Callable[[], None]) -> Iterator[None]:
    """Do work in another process, so that it does not delay the clock of the good requests."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    try:
        yield
    finally:
        process.join()


def _flood(load: Load, seconds: float, rate: int) -> None:
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
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each part")
    parser.add_argument("--against", type=Path, help="measure another checkout's service instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples")
    options = parser.parse_args(argv)
    names = options.only.split(",")
    if unknown := [name for name in names if name not in EVENTS]:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(EVENTS)}")
    samples = asyncio.run(_run(names, options.repetitions, options.seconds, options.against))
    if options.json is not None:
        written = {
            name: [[asdict(part) for part in parts] for parts in repetitions]
            for name, repetitions in samples.items()
        }
        options.json.write_text(f"{json.dumps(written, indent=1)}\n", encoding="utf-8")
    kept = [_report(EVENTS[name], repetitions) for name, repetitions in samples.items()]
    return 0 if all(kept) else 1


async def _run(
    names: Sequence[str], repetitions: int, seconds: float, against: Path | None
) -> dict[str, list[list[Part]]]:
    server_core, other_core = cores()
    signers = Signer.generate("EdDSA"), Signer.generate("EdDSA")
    samples: dict[str, list[list[Part]]] = {name: [] for name in names}
    with on_core(other_core), key_server(*signers) as issuer, postgres() as stage:
        worlds = World(signers[0], issuer, _USERS), World(signers[1], issuer, _USERS)
        await stage.fill(worlds[0], heavy=False)
        await stage.reset(heavy=False, will_change=False)
        site = Site(
            app_url=stage.app_url,
            peer_url=stage.peer_url,
            issuer=issuer,
            jwks_url=f"{issuer}{JWKS_PATH}",
            folder=make_private_folder(DEFAULT_HOME / "benchmark"),
            core=server_core,
        )
        [contender] = contenders([BEFORE if against else SERVICE], site, Packages(), against)
        question = request("GET", "/api/tasks", worlds[0].token(worlds[0].user(0)))
        server = contender.start(question)
        with server.program:
            drill = Drill(server, stage, worlds, seconds)
            for number, name in itertools.product(range(repetitions), names):
                # Anew each time: on a busy machine, half of saturation is not the same for long.
                drill.saturate()
                title = f"{EVENTS[name].title}, {drill.rate:.0f} good requests/s"
                print(f"round {number + 1}: {title}", file=sys.stderr, flush=True)
                samples[name].append(drill.repeat(name))
    return samples


def _report(event: Event, repetitions: list[list[Part]]) -> bool:
    """Print one line, and return whether the promise was kept."""
    columns = list(zip(*repetitions, strict=True))
    p50, p99 = (
        [median(getattr(part, figure) for part in column) for column in columns]
        for figure in ("p50_ms", "p99_ms")
    )
    ratio = median(during.p99_ms / before.p99_ms for before, during, _ in repetitions)
    refused = Counter[str]()
    for part in itertools.chain.from_iterable(repetitions):
        refused.update(part.refused)
    kept = not refused and (event.promise is None or ratio <= event.promise)
    promise = "no refusal" if event.promise is None else f"<= {event.promise}"
    print(
        f"{event.title:38} p50 {' '.join(f'{value:6.1f}' for value in p50)}"
        f"  p99 {' '.join(f'{value:6.1f}' for value in p99)}  ratio {ratio:5.2f}"
        f" ({promise}: {'kept' if kept else 'NOT KEPT'})  refused {dict(refused) or 0}"
    )
    return kept


if __name__ == "__main__":
    sys.exit(main())
