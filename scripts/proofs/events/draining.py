"""A replica that is drained sends its streams to the other one, and nothing is missed."""

import asyncio
import signal
import time
from collections import Counter
from typing import Final

from scripts.proofs.drills.drill import Seen
from scripts.proofs.drills.rows.lifecycle import Replicas
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import milliseconds
from scripts.proofs.events.crowd import (
    SETTINGS,
    addresses,
    following,
    journals_of,
    judge,
    settled,
    until_all,
)
from scripts.proofs.events.follower import Follower
from scripts.proofs.events.writer import writing

_USERS: Final = 4
_BEFORE_SECONDS: Final = 2.0
_AT_ONCE_SECONDS: Final = 1.0
_DRAIN_SECONDS: Final = 5.0
_STOP_SECONDS: Final = 3.0
"""How long the process may take after it has drained."""


async def drained(stage: Stage, streams: int, per_second: float) -> Seen:
    """Send SIGTERM to one of two replicas while tasks change."""
    seen = Seen()
    journals = journals_of(f"user-who-moves-{number}" for number in range(_USERS))
    tokens = {journal.user: stage.issuer.token(journal.user) for journal in journals}
    hosts = addresses()
    settings = {**SETTINGS, "DRAIN_SECONDS": str(_DRAIN_SECONDS)}
    async with Replicas(stage, settings) as replicas:
        services = replicas.all
        followers = []
        for number in range(streams):
            journal = journals[number // 2 % _USERS]
            ports = [service.port for service in (services if number % 2 else services[::-1])]
            token = tokens[journal.user]
            followers.append(Follower(journal, token, ports, address=next(hosts)))
        drained_port = services[0].port
        moving = [each for each in followers if each.port == drained_port]
        async with following(followers):
            async with writing(journals, tokens, services, per_second=per_second):
                await asyncio.sleep(_BEFORE_SECONDS)
                began, clock = asyncio.get_running_loop().time(), time.monotonic()
                services[0].program.process.send_signal(signal.SIGTERM)
                await until_all(moving, lambda each: each.ended, "a stream is open")
                await until_all(moving, lambda each: each.ready, "not connected again")
                code = await services[0].program.wait()
                took = time.monotonic() - clock
            await settled(followers)
            ended = max(each.ended_at[0] for each in moving) - began
            back = max(each.live_at[-1] for each in moving) - began
            reasons = Counter(each.reasons[-1] if each.reasons else "none" for each in moving)
            hints = [each.retries[-1] for each in moving if each.retries]
            stayed = sum(len(each.ended_at) for each in followers if each not in moving)
            await judge(seen, stage, followers)
    seen.require(ended < _AT_ONCE_SECONDS, f"a stream ended after {milliseconds(ended)}")
    seen.require(reasons == {"restarting": len(moving)}, f"reasons: {dict(reasons)}")
    seen.require(len(hints) == len(moving), f"{len(hints)} retry hints")
    seen.require(not stayed, f"{stayed} streams of the other replica ended")
    seen.require(took < _DRAIN_SECONDS + _STOP_SECONDS, f"stopped after {milliseconds(took)}")
    seen.fact(f"{len(moving)} streams ended within {milliseconds(ended)}")
    seen.fact(f"retry hints of {min(hints, default=0)} to {max(hints, default=0)} ms")
    seen.fact(f"all on the other replica after {milliseconds(back)}")
    seen.fact(f"the process ended after {milliseconds(took)}, exit code {code}")
    return seen
