"""Measure servers in turn: every round meets each server with each kind of request once."""

import asyncio
import gc
import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

from benchmarks.contenders import Contender, Running
from benchmarks.kinds import KINDS, Kind, Visitors
from benchmarks.load import MANY_HOSTS, Load
from benchmarks.processes import spent
from benchmarks.samples import Results, Sample
from benchmarks.stage import Postgres
from benchmarks.streams import streams

_Say = Callable[[str], None]
_STARTS: Final = 3
_COLD_TOKENS: Final = 10_000
_WARM_UP_SECONDS: Final = 1.5


class Rounds:
    """The measurements of a run."""

    def __init__(self, postgres: Postgres, visitors: Visitors, results: Results, say: _Say) -> None:
        self._postgres = postgres
        self._visitors = visitors
        self._say = say
        self._results = results

    async def start(self, contenders: Sequence[Contender], *, cold_tokens: bool) -> None:
        """Measure starts and memory, each server by itself."""
        await self._postgres.reset(heavy=False, will_change=False)
        question = self._question()
        for contender in contenders:
            self._say(f"start {contender.name}")
            for _ in range(_STARTS):
                running = contender.start(question)
                try:
                    self._started(running, cold_tokens=cold_tokens)
                finally:
                    running.program.stop()

    async def measure(
        self, contenders: Sequence[Contender], kinds: Sequence[str], *, rounds: int, seconds: float
    ) -> None:
        """Measure the kinds on the servers, `rounds` times."""
        question = self._question()
        with ExitStack() as stack:
            servers: list[Running] = []
            for contender in contenders:
                servers.append(contender.start(question))
                stack.enter_context(servers[-1].program)
                if contender.streams:
                    self._say(f"open {contender.streams} streams")
                    users = self._visitors.tokens
                    stack.enter_context(streams(servers[-1].port, users, contender.streams))
            # A first round that is thrown away: by its end V8 has compiled what it runs often.
            warm_up = min(_WARM_UP_SECONDS, seconds)
            for kind in kinds:
                self._say(f"warm up: {KINDS[kind].title}")
                for server in servers:
                    if server.takes(kind):
                        await self._sample(server, kind, rounds, warm_up)
            for number, kind in itertools.product(range(rounds), kinds):
                self._say(f"round {number + 1} of {rounds}: {KINDS[kind].title}")
                # No server is always the first to meet a table that was just written.
                turn = number % len(servers)
                for server in (*servers[turn:], *servers[:turn]):
                    if server.takes(kind):
                        sample = await self._sample(server, kind, number, seconds)
                        self._results.add(kind, server.name, sample)

    def _started(self, running: Running, *, cold_tokens: bool) -> None:
        start = self._results.start(running.name)
        start.seconds.append(running.start_seconds)
        megabytes = running.tree.megabytes()
        start.megabytes = sum(megabytes.values())
        start.first_megabytes = next(iter(megabytes.values()))
        if cold_tokens and start.after_cold_tokens is None:
            world = self._visitors.world
            tokens = (world.token(f"stranger{number}") for number in range(_COLD_TOKENS))
            requests = ((self._visitors.listed(token), 200) for token in tokens)
            Load(running.port, requests, connections=8).run(warm_up=0, seconds=600)
            start.after_cold_tokens = sum(running.tree.megabytes().values())

    async def _sample(self, server: Running, name: str, number: int, seconds: float) -> Sample:
        kind = KINDS[name]
        await asyncio.sleep(0)  # where an interrupt ends the run
        await self._postgres.reset(heavy=kind.heavy, will_change=kind.changes)
        requests = kind.source(self._visitors, number)
        requests = itertools.chain([next(requests)], requests)  # prepared before the clock starts
        before: list[dict[int, float]] = []
        after: list[dict[int, float]] = []
        trees = (server.tree, self._postgres.tree)
        gc.collect()
        gc.disable()
        try:
            load = Load(server.port, requests, connections=kind.connections, hosts=MANY_HOSTS)
            outcome = load.run(
                warm_up=min(0.3, seconds / 4),
                seconds=seconds,
                rate=self._rate(kind, name, server.name),
                began=lambda: before.extend(tree.processor_seconds() for tree in trees),
                ended=lambda: after.extend(tree.processor_seconds() for tree in trees),
            )
        finally:
            gc.enable()
        processor, database = (spent(*pair) for pair in zip(before, after, strict=True))
        return Sample.of(outcome, server=processor, database=database)

    def _rate(self, kind: Kind, name: str, server: str) -> float | None:
        if kind.open_at is None:
            return None
        closed = self._results.spread(name.partition("-")[0], server, lambda s: s.per_second)
        return None if closed is None else closed.median * kind.open_at

    def _question(self) -> bytes:
        return self._visitors.listed(self._visitors.tokens[0])
