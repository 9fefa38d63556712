"""A flood of requests from a process of its own, so that it does not delay the clients of a drill.

    python -m scripts.proofs.drills.system.flood PORT CONNECTIONS SECONDS < TOKENS

Each line of standard input is a token. The connections share the tokens out, and each requests the
lists of its users in turns, again and again. After a refusal, it waits about as long as Retry-After
says. The connections come from up to 250 addresses. The results are written to standard output as
JSON.
"""

import asyncio
import itertools
import json
import os
import random
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import uvloop

from scripts.proofs.drills.system.connection import Connection
from scripts.proofs.drills.system.traffic import Traffic, percentile

_ADDRESSES: Final = 250
_PAUSE_SECONDS: Final = 0.1
_NICE: Final = 10
"""The clients of a drill measure, so they come first on the core that they share."""
_GOOD: Final = 200


@dataclass(frozen=True)
class Flood:
    """What a flood saw. Latencies are in seconds, and include delays of a busy flood."""

    seconds: float
    statuses: dict[str, int]
    without_retry_after: int
    good_p99: float
    refused_p99: float

    @property
    def requests(self) -> int:
        """The number of requests that were sent."""
        return sum(self.statuses.values())

    @property
    def good_per_second(self) -> float:
        """Good answers per second."""
        return self.statuses.get(str(_GOOD), 0) / self.seconds


async def flood(port: int, connections: int, tokens: Sequence[str], seconds: float) -> Flood:
    """Ask on so many connections, each with its share of the tokens in turns."""
    traffic = Traffic()
    loop = asyncio.get_running_loop()
    chance = random.Random(port)  # noqa: S311 - reproducible, not secret
    end = loop.time() + seconds

    async def ask_on_and_on(number: int) -> None:
        connection = Connection(port, address=f"127.0.0.{2 + number % _ADDRESSES}")
        users = itertools.cycle(tokens[number::connections])
        while loop.time() < end:
            answer = await connection.ask("GET", "/api/tasks", token=next(users))
            traffic.count(answer, connection.failure)
            if answer is None or answer.status != _GOOD:
                told = None if answer is None else answer.retry_after
                pause = _PAUSE_SECONDS if told is None else float(told)
                # Not all at the same moment, and not beyond the end: what others ask for then would
                # count as the flood's share of the service's CPU.
                pause *= chance.uniform(0.5, 1.5)
                await asyncio.sleep(min(pause, end - loop.time()))
        connection.close()

    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(ask_on_and_on(number))
    good, refused = traffic.good_seconds, traffic.refused_seconds
    return Flood(
        seconds,
        dict(traffic.statuses),
        traffic.without_retry_after,
        percentile(good, 99),
        percentile(refused, 99),
    )


async def flooding(port: int, connections: int, tokens: Sequence[str], seconds: float) -> Flood:
    """Run a flood in a process of its own."""
    arguments = map(str, (port, connections, seconds))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scripts.proofs.drills.system.flood", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        out, _ = await process.communicate("\n".join(tokens).encode())
    except BaseException:
        process.kill()
        raise
    return Flood(**json.loads(out))


def main() -> int:
    """Flood the port, and write what was seen."""
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    tokens = sys.stdin.read().split()
    allow_descriptors(connections)
    os.nice(_NICE)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(flood(port, connections, tokens, seconds))
    print(json.dumps(asdict(seen)))
    return 0


def allow_descriptors(connections: int) -> None:
    """Raise this process's limit on open files for so many connections. Raises `ValueError`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 200
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    sys.exit(main())
