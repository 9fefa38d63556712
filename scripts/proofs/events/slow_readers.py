"""A client that does not read is cut off, and costs a bounded amount of memory until then."""

import asyncio
import time
from typing import Final

from scripts.proofs.drills.drill import Seen
from scripts.proofs.drills.system.service import Service
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import milliseconds
from scripts.proofs.drills.system.waiting import StageError
from scripts.proofs.events.crowd import (
    SETTINGS,
    addresses,
    following,
    journals_of,
    judge,
    megabytes,
    settled,
)
from scripts.proofs.events.delivery import Load
from scripts.proofs.events.follower import Follower
from scripts.proofs.events.writer import writing

_SLOW: Final = 50
_BEFORE_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.1
_RECEIVE_BYTES: Final = 4_096
_MOST_MEGABYTES: Final = 20
_CUT_SECONDS: Final = 60.0
_OPEN_STREAMS: Final = "event_streams"


async def cut_off(stage: Stage, load: Load) -> Seen:
    """Stop reading on many clients while tasks of their user change."""
    seen = Seen()
    journals = journals_of(["user-with-slow-clients"])
    tokens = {journal.user: stage.issuer.token(journal.user) for journal in journals}
    hosts = addresses()

    def followers(service: Service, number: int, receive_bytes: int | None) -> list[Follower]:
        return [
            Follower(
                journals[0],
                tokens[journals[0].user],
                [service.port],
                address=next(hosts),
                once=True,
                receive_bytes=receive_bytes,
            )
            for _ in range(number)
        ]

    async with stage.service(SETTINGS) as service:
        quick = followers(service, load.streams, None)
        slow = followers(service, _SLOW, _RECEIVE_BYTES)
        async with following(quick), following(slow):
            async with writing(journals, tokens, [service], per_second=load.per_second):
                await asyncio.sleep(_BEFORE_SECONDS)
                before = most = megabytes([service])
                for each in slow:
                    each.pause()
                began = time.monotonic()
                while await _open_streams(service) > len(quick):
                    most = max(most, megabytes([service]))
                    if time.monotonic() - began > _CUT_SECONDS:
                        break
                    await asyncio.sleep(_POLL_SECONDS)
                took = time.monotonic() - began
            left = await _open_streams(service) - len(quick)
            await settled(quick)
            ended = sum(each.ended for each in quick)
            await judge(seen, stage, quick)
    seen.require(left <= 0, f"{left:.0f} of {_SLOW} slow clients are still connected")
    seen.require(not ended, f"{ended} streams of quick clients ended")
    seen.require(most - before < _MOST_MEGABYTES, f"{most - before:.0f} MB more memory")
    seen.fact(f"{_SLOW} clients were cut off within {milliseconds(took)}")
    seen.fact(f"at most {most - before:.1f} MB more memory")
    seen.fact(f"{len(quick)} others read on")
    return seen


async def _open_streams(service: Service) -> float:
    """Return the number of open streams, as `/metrics` has it."""
    answer = await service.ask("GET", "/metrics")
    if answer is None:
        raise StageError("/metrics does not answer")
    for line in answer.body.decode().splitlines():
        name, _, value = line.partition(" ")
        if name == _OPEN_STREAMS:
            return float(value)
    raise StageError(f"/metrics has no {_OPEN_STREAMS}")
