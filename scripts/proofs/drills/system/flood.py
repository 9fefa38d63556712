"""A flood of requests from a process of its own, so that it does not delay the clients of a drill.

    python -m scripts.proofs.drills.system.flood PORT SECONDS < TOKENS

Each line of standard input is the token of one connection, which requests a list again and again.
After a refusal, it waits about as long as Retry-After says. The connections come from up to 250
addresses. The results are written to standard output as JSON.
"""

import asyncio
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


async def flood(port: int, tokens: Sequence[str], seconds: float) -> Flood:
    """Ask with each token on a connection of its own."""
    traffic = Traffic()
    loop = asyncio.get_running_loop()
    chance = random.Random(port)  # noqa: S311 - reproducible, not secret
    end = loop.time() + seconds

    async def ask_on_and_on(number: int, token: str) -> None:
        connection = Connection(port, address=f"127.0.0.{2 + number % _ADDRESSES}")
        while loop.time() < end:
            answer = await connection.ask("GET", "/api/tasks", token=token)
            traffic.count(answer, connection.failure)
            if answer is None or answer.status != _GOOD:
                told = None if answer is None else answer.retry_after
                pause = _PAUSE_SECONDS if told is None else float(told)
                # Not all at the same moment.
                await asyncio.sleep(pause * chance.uniform(0.5, 1.5))
        connection.close()

    async with asyncio.TaskGroup() as group:
        for number, token in enumerate(tokens):
            group.create_task(ask_on_and_on(number, token))
    good, refused = traffic.good_seconds, traffic.refused_seconds
    return Flood(
        seconds,
        dict(traffic.statuses),
        traffic.without_retry_after,
        percentile(good, 99),
        percentile(refused, 99),
    )


async def flooding(port: int, tokens: Sequence[str], seconds: float) -> Flood:
    """Run a flood in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scripts.proofs.drills.system.flood", str(port), str(seconds)),
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
    port, seconds = int(sys.argv[1]), float(sys.argv[2])
    tokens = sys.stdin.read().split()
    allow_descriptors(len(tokens))
    os.nice(_NICE)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(flood(port, tokens, seconds))
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
