"""Every change arrives on every stream of its owner, on both replicas, and on no other."""

import asyncio
from array import array
from dataclasses import dataclass
from typing import Final

from scripts.proofs.drills.drill import Seen
from scripts.proofs.drills.rows.lifecycle import Replicas
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import milliseconds, percentile
from scripts.proofs.events.crowd import (
    SETTINGS,
    addresses,
    following,
    journals_of,
    judge,
    megabytes,
    settled,
)
from scripts.proofs.events.follower import Follower
from scripts.proofs.events.writer import writing

MAX_MEGABYTES: Final = 100
_REACHED: Final = 0.9
"""The part of the rate that must be reached: else nothing was shown."""
_WARM_UP_SECONDS: Final = 3.0
_NOT_DURABLE: Final = ("ALTER SYSTEM SET synchronous_commit = off", "SELECT pg_reload_conf()")


@dataclass(frozen=True)
class Load:
    """How many streams and changes there are, and for how long."""

    streams: int
    per_second: float
    seconds: float
    durable: bool = False
    """Whether commits wait for the disk. Transactions that notify then wait for each other."""


async def delivered(stage: Stage, load: Load, users: int) -> Seen:
    """Change tasks of a few users while all streams are open."""
    seen = Seen()
    journals = journals_of(f"user-{users}-{number}" for number in range(users))
    tokens = {journal.user: stage.issuer.token(journal.user) for journal in journals}
    hosts = addresses()
    if not load.durable:
        await stage.database.execute(*_NOT_DURABLE)
    async with Replicas(stage, SETTINGS) as replicas:
        services = replicas.all
        followers = []
        for number in range(load.streams):
            journal = journals[number // len(services) % users]
            ports = [services[number % len(services)].port]
            token = tokens[journal.user]
            followers.append(Follower(journal, token, ports, address=next(hosts)))
        # What the replicas allocate for the traffic itself is not of the streams.
        async with writing(journals, tokens, services, per_second=load.per_second):
            await asyncio.sleep(_WARM_UP_SECONDS)
        without = megabytes(services)
        async with following(followers):
            opened = most = megabytes(services)
            before = sum(journal.acknowledged for journal in journals)
            began = asyncio.get_running_loop().time()
            for follower in followers:
                follower.events, follower.delays = 0, array("d")
            async with writing(journals, tokens, services, per_second=load.per_second):
                for _ in range(int(load.seconds)):
                    await asyncio.sleep(1)
                    most = max(most, megabytes(services))
            took = asyncio.get_running_loop().time() - began
            await settled(followers)
            changes = sum(journal.acknowledged for journal in journals) - before
            ended = sum(follower.ended for follower in followers)
            await judge(seen, stage, followers)
    rate = changes / took
    events = sum(follower.events for follower in followers)
    delays = [each for follower in followers for each in follower.delays]
    seen.require(not ended, f"{ended} streams ended")
    seen.require(rate >= _REACHED * load.per_second, f"only {rate:.0f} changes/s")
    seen.require(most - without < MAX_MEGABYTES, f"{most - without:.0f} MB for the streams")
    seen.fact(f"{changes} changes, {rate:.0f}/s, {events} events on {load.streams} streams")
    seen.fact(
        f"delay p50 {milliseconds(percentile(delays, 50))},"
        f" p99 {milliseconds(percentile(delays, 99))}"
    )
    seen.fact(
        f"{opened - without:.0f} MB for open streams, at most {most - without:.0f} MB under load"
    )
    return seen
