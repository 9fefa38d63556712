"""The soak: half of the maximum load for a long time, with what happens in a long time.

Two replicas with two workers each count their limits in one Redis. While clients with a ledger use
both, these happen in turn: a rolling restart, a kill of a worker, a rotation of the signing key, a
restart of Redis, a burst of revocations, and a restart of PostgreSQL. Only the last one may cost
503s. What the processes use is compared from the rotation on: they are the same until the end.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from better_auth_keys import Signer
from scripts.proofs.drills.drill import Drill, Seen
from scripts.proofs.drills.rows.lifecycle import Replicas
from scripts.proofs.drills.rows.overload import judge_flat, saturation
from scripts.proofs.drills.system.issuer import session_of
from scripts.proofs.drills.system.measure import Usage, usage_of
from scripts.proofs.drills.system.redis import Redis
from scripts.proofs.drills.system.service import Service
from scripts.proofs.drills.system.stage import Crowd, Stage
from scripts.proofs.drills.system.traffic import milliseconds, percentile
from scripts.proofs.drills.system.waiting import until

MINUTES: Final = 30.0
_CLIENTS: Final = 24
_REVOCATIONS: Final = 5_000
_SAMPLE_PART: Final = 50
"""So many samples of memory in all."""
_REVOKED_SECONDS: Final = 1.0
_VICTIM: Final = "user-who-is-revoked"
_UNAUTHORIZED: Final = 401
_DOWN_SECONDS: Final = 2.0
_PROMISED: Final = "a restart of PostgreSQL"


def soak(minutes: float) -> Drill:
    """Return the drill of this length."""

    async def run(stage: Stage) -> Seen:
        return await _Soak(stage, minutes * 60).run()

    return Drill(
        (71,),
        f"soak for {minutes:g} minutes",
        "no 5xx but the promised 503s; memory stays flat",
        run,
        seconds=minutes * 60 + 300,
    )


class _Soak:
    """One soak, and the parts of it."""

    def __init__(self, stage: Stage, seconds: float) -> None:
        self._stage, self._seconds = stage, seconds
        self._seen = Seen()
        self._redis = Redis(stage)
        self._samples: list[Usage] = []
        self._connections: list[int] = []

    async def run(self) -> Seen:
        stage, seen = self._stage, self._seen
        await self._redis.start()
        settings = {
            "WEB_CONCURRENCY": "2",
            "DATABASE_POOL_SIZE": "5",
            "RATE_LIMIT_STORAGE": self._redis.url,
        }
        async with Replicas(stage, settings) as replicas:
            best = await saturation(stage, *replicas.all)
            async with stage.clients(_CLIENTS, *replicas.all, per_second=best / 2) as crowd:
                events: dict[str, Callable[[], Awaitable[None]]] = {
                    "a rolling restart": lambda: self._roll(replicas),
                    "a kill of a worker": lambda: self._kill_a_worker(replicas),
                    "a rotation": lambda: self._rotate(crowd),
                    "a restart of Redis": self._restart_redis,
                    "a burst of revocations": lambda: self._revoke(replicas),
                    _PROMISED: self._restart_postgres,
                }
                for name, event in events.items():
                    await self._part(replicas, len(events) + 1)
                    await self._happen(name, event, crowd)
                await self._part(replicas, len(events) + 1)
            traffic = crowd.ledger.traffic
            seen.fact(f"{best / 2:.0f}/s, {traffic.refusals()}")
            seen.fact(f"p99.9 {milliseconds(percentile(traffic.good_seconds, 99.9))}")
            seen.fact(f"longest stall {milliseconds(traffic.longest_stall)}")
            # The first two parts end with processes that are replaced.
            skipped = 2 * len(self._samples) // (len(events) + 1)
            judge_flat(seen, self._samples[skipped:], self._connections[skipped:])
        seen.count(crowd.ledger)
        return seen

    async def _part(self, replicas: Replicas, parts: int) -> None:
        """Let a part of the time pass, and sample what the processes use."""
        number = max(1, _SAMPLE_PART // parts)
        for _ in range(number):
            await asyncio.sleep(self._seconds / parts / number)
            processes = [each for one in replicas.all for each in one.program.processes()]
            self._samples.append(usage_of(processes))
            self._connections.append(await self._stage.database.connections())

    async def _happen(self, name: str, event: Callable[[], Awaitable[None]], crowd: Crowd) -> None:
        self._stage.say(f"soak: {name}")
        before = crowd.ledger.traffic.statuses["503"]
        await event()
        took = await crowd.until_all_are_served(60)
        refused = crowd.ledger.traffic.statuses["503"] - before
        self._seen.fact(f"{name}: {refused} x 503, all served after {milliseconds(took)}")
        self._seen.require(not refused or name == _PROMISED, f"{name}: {refused} x 503")

    async def _roll(self, replicas: Replicas) -> None:
        for index in range(len(replicas.all)):
            await replicas.restart(index, self._seen)

    async def _kill_a_worker(self, replicas: Replicas) -> None:
        replicas.all[0].workers()[0].kill()

    async def _rotate(self, crowd: Crowd) -> None:
        issuer = self._stage.issuer
        issuer.signers.append(Signer.generate("EdDSA"))
        await self._stage.database.execute("NOTIFY signing_keys")
        await asyncio.sleep(_DOWN_SECONDS)
        for client in crowd.clients:
            client.token = issuer.token(client.book.user)

    async def _restart_redis(self) -> None:
        await self._redis.kill()
        await asyncio.sleep(_DOWN_SECONDS)
        await self._redis.start()

    async def _revoke(self, replicas: Replicas) -> None:
        """Revoke many sessions, and one of a user who must be refused everywhere at once."""
        token = self._stage.issuer.token(_VICTIM)
        sessions = (secrets.token_hex(16) for _ in range(_REVOCATIONS))
        await self._stage.database.revoke_sessions([*sessions, session_of(_VICTIM)])
        for service in replicas.all:

            async def refused(service: Service = service) -> bool:
                answers = [await service.ask("GET", "/api/tasks", token=token) for _ in range(4)]
                return all(each is not None and each.status == _UNAUTHORIZED for each in answers)

            took = await until(refused, "the revoked session is not refused")
            late = f"a revoked session was served for {milliseconds(took)}"
            self._seen.require(took < _REVOKED_SECONDS, late)

    async def _restart_postgres(self) -> None:
        await asyncio.to_thread(self._stage.server.stop)
        await asyncio.sleep(_DOWN_SECONDS)
        await self._stage.restart_database()
