"""A stream ends with its session or its token, and no other stream ends with it."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from scripts.proofs.drills.drill import Seen
from scripts.proofs.drills.rows.lifecycle import Replicas
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import milliseconds
from scripts.proofs.events.crowd import SETTINGS, addresses, following, until_all
from scripts.proofs.events.follower import Follower
from scripts.proofs.events.journal import Journal

_PROMISED_SECONDS: Final = 1.0
_AFTERWARDS_SECONDS: Final = 2.0
_MARKED: Final = 20
_LIFETIME_SECONDS: Final = 15
_REVOKED: Final = "a session that is revoked"


async def session_revoked(stage: Stage, streams: int) -> Seen:
    """Revoke one of two sessions of a user, as web/ and `revoke-tokens --session` do."""
    seen = Seen()
    user = "user-with-two-sessions"
    async with Replicas(stage, SETTINGS) as replicas:
        ports = [service.port for service in replicas.all]
        revoked = stage.issuer.token(user, sid=_REVOKED)
        marked = _followers(user, [revoked], ports, _MARKED)
        others = _followers(user, [stage.issuer.token(user)], ports, _MARKED)
        others += _followers(
            "another", [stage.issuer.token("another")], ports, streams - 2 * _MARKED
        )
        async with following([*marked, *others]):
            began = asyncio.get_running_loop().time()
            await stage.database.revoke_sessions([_REVOKED])
            await until_all(marked, lambda each: each.ended, "a stream of the session is open")
            await asyncio.sleep(_AFTERWARDS_SECONDS)
            late = [each.ended_at[0] - began for each in marked]
            _judge(seen, marked, others, max(map(abs, late)), "token_revoked")
            for service in replicas.all:
                answer = await service.must_answer("GET", "/api/tasks", token=revoked)
                seen.require(
                    answer.status == HTTPStatus.UNAUTHORIZED, f"{answer.status} for a revoked token"
                )
    seen.fact(f"{len(marked)} streams ended, the last one after {milliseconds(max(late))}")
    seen.fact(f"{len(others)} others are open")
    return seen


async def token_expired(stage: Stage, streams: int) -> Seen:
    """Wait until the tokens of some streams expire, and see which streams end."""
    seen = Seen()
    async with Replicas(stage, SETTINGS) as replicas:
        ports = [service.port for service in replicas.all]
        others = _followers("user", [stage.issuer.token("user")], ports, streams - _MARKED)
        async with following(others):
            expires_at = int(time.time()) + _LIFETIME_SECONDS
            token = stage.issuer.token("user", exp=expires_at)
            marked = _followers("user", [token], ports, _MARKED)
            async with following(marked):
                loop = asyncio.get_running_loop()
                due = loop.time() + expires_at - time.time()
                await until_all(
                    marked,
                    lambda each: each.ended,
                    "a stream is open",
                    seconds=_LIFETIME_SECONDS + 20,
                )
                await asyncio.sleep(_AFTERWARDS_SECONDS)
                late = [each.ended_at[0] - due for each in marked]
                _judge(seen, marked, others, max(map(abs, late)), "token_expired")
    first, last = min(late), max(late)
    seen.fact(f"{len(marked)} streams ended {first:+.2f} to {last:+.2f} s from the expiry")
    seen.fact(f"{len(others)} others are open")
    return seen


def _followers(
    user: str, tokens: Sequence[str], ports: Sequence[int], number: int
) -> list[Follower]:
    """Return followers that do not connect again, half of them on each replica."""
    hosts, journal = addresses(), Journal(user)
    return [
        Follower(
            journal,
            tokens[each % len(tokens)],
            [ports[each % len(ports)]],
            address=next(hosts),
            once=True,
        )
        for each in range(number)
    ]


def _judge(
    seen: Seen, marked: Sequence[Follower], others: Sequence[Follower], late: float, reason: str
) -> None:
    seen.requests += len(marked) + len(others)
    seen.require(late < _PROMISED_SECONDS, f"a stream ended {milliseconds(late)} away")
    reasons = Counter(each.reasons[-1] if each.reasons else "no reason" for each in marked)
    seen.require(reasons == {reason: len(marked)}, f"reasons: {dict(reasons)}")
    ended = sum(each.ended for each in others)
    seen.require(not ended, f"{ended} other streams ended")
