"""Streams say when changes cannot be heard and when they can again, and clients fetch the rest."""

import asyncio
from typing import Final

from scripts.proofs.drills.drill import Seen
from scripts.proofs.drills.system.proxy import Proxy
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
_NOTICED_SECONDS: Final = 10.0
"""A heartbeat every 5 s, overdue after 3 s more."""


async def listening_is_cut(stage: Stage, streams: int, per_second: float) -> Seen:
    """Silence the LISTEN connection while tasks change, and let it speak again."""
    seen = Seen()
    journals = journals_of(f"user-in-silence-{number}" for number in range(_USERS))
    tokens = {journal.user: stage.issuer.token(journal.user) for journal in journals}
    hosts = addresses()
    loop = asyncio.get_running_loop()
    async with Proxy(stage.server.port) as proxy:
        settings = {**SETTINGS, "DIRECT_DATABASE_URL": proxy.url(stage.url("app"))}
        async with stage.service(settings) as service:
            followers = [
                Follower(journal, tokens[journal.user], [service.port], address=next(hosts))
                for journal in journals
                for _ in range(streams // _USERS)
            ]
            async with following(followers):
                async with writing(journals, tokens, [service], per_second=per_second):
                    await asyncio.sleep(_BEFORE_SECONDS)
                    proxy.silence(new=True)
                    cut = loop.time()
                    await until_all(followers, lambda each: not each.live, "a stream says `live`")
                    paused = max(each.paused_at[-1] for each in followers) - cut
                    unheard = [each.events for each in followers]
                    await asyncio.sleep(_BEFORE_SECONDS)
                    seen.require(
                        unheard == [each.events for each in followers], "events while it was cut"
                    )
                    proxy.speak()
                    spoke = loop.time()
                    await until_all(followers, lambda each: each.ready, "no stream says `live`")
                    back = max(each.live_at[-1] for each in followers) - spoke
                    await asyncio.sleep(_BEFORE_SECONDS)
                await settled(followers)
                resumed = sum(a.events > b for a, b in zip(followers, unheard, strict=True))
                ended = sum(each.ended for each in followers)
                await judge(seen, stage, followers)
    seen.require(paused < _NOTICED_SECONDS, f"`paused` after {milliseconds(paused)}")
    seen.require(resumed == len(followers), f"{resumed} streams have events again")
    seen.require(not ended, f"{ended} streams ended")
    seen.fact(f"`paused` on {len(followers)} streams within {milliseconds(paused)}")
    seen.fact(f"`live` {milliseconds(back)} after the network was back")
    return seen
