"""Drills of the rate limit store: busy, down, and hanging."""

import asyncio
from collections import Counter
from http import HTTPStatus
from typing import Final

from scripts.proofs.drills.drill import Drill, Seen
from scripts.proofs.drills.system.connection import Connection
from scripts.proofs.drills.system.redis import Redis
from scripts.proofs.drills.system.service import Service
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import Traffic, milliseconds, percentile
from scripts.proofs.drills.system.waiting import until

_LIMIT: Final = 30
_AT_ONCE: Final = 200
_SIGN_INS: Final = 150
_BURSTS: Final = 2
_OTHERS: Final = 39
_HANGING_SECONDS: Final = 12.0
_NOTICED_SECONDS: Final = 2.0
_PER_SECOND: Final = 50
_SLOW_SECONDS: Final = 0.2
_PROBE_PAUSE_SECONDS: Final = 5.0
_OK: Final = str(HTTPStatus.OK.value)
_LIMITED: Final = str(HTTPStatus.TOO_MANY_REQUESTS.value)
_WRONG_PASSWORD: Final = str(HTTPStatus.UNAUTHORIZED.value)
_LOGIN: Final = {"email": "nobody@example.com", "password": "wrong horse"}


async def busy(stage: Stage) -> Seen:
    """Send many requests at once to a healthy Redis, then kill it, then start it again."""
    seen = Seen()
    redis = Redis(stage)
    await redis.start()
    limits = f"tasks={_LIMIT}/hour"
    async with stage.service({"RATE_LIMIT_STORAGE": redis.url, "RATE_LIMITS": limits}) as service:
        await _warm_up(stage, service)
        for name in ("healthy", "down"):
            passed = await _at_once(stage, service, f"user-{name}", seen)
            seen.require(passed == _LIMIT, f"Redis {name}: {passed} passed a limit of {_LIMIT}")
            seen.fact(f"Redis {name}: {passed} of {_AT_ONCE} at once passed a limit of {_LIMIT}")
            if name == "healthy":
                await _sign_in(service, seen)
                seen.require(await _state(service) == "ok", "Redis was considered unavailable")
                await redis.kill()
        await redis.start()
        back = await until(lambda: _is_back(service), "Redis is not used again")
        seen.fact(f"used again after {milliseconds(back)}")
    return seen


async def _warm_up(stage: Stage, service: Service) -> None:
    token = stage.issuer.token("user-first")
    await service.ask("GET", "/api/tasks", token=token)


async def _at_once(stage: Stage, service: Service, user: str, seen: Seen) -> int:
    """Send requests of one user at once, and return how many were not over the limit."""
    token = stage.issuer.token(user)
    asked = [service.ask("GET", "/api/tasks", token=token) for _ in range(_AT_ONCE)]
    answers = await asyncio.gather(*asked)
    seen.requests += _AT_ONCE
    statuses = Counter("closed" if each is None else str(each.status) for each in answers)
    others = set(statuses) - {_OK, _LIMITED}
    seen.require(not others, f"{user}: {dict(statuses)}")
    return statuses[_OK]


async def _sign_in(service: Service, seen: Seen) -> None:
    """Let one address try many passwords at once. Other addresses must not notice."""
    for _ in range(_BURSTS):
        await asyncio.gather(*(_login(service, "127.0.0.1") for _ in range(_SIGN_INS)))
        others = [_login(service, f"127.0.0.{2 + number}") for number in range(_OTHERS)]
        answers = Counter(await asyncio.gather(*others))
        seen.requests += _SIGN_INS + _OTHERS
        kept_out = _OTHERS - answers[_WRONG_PASSWORD] - answers[_LIMITED]
        seen.require(not kept_out, f"{kept_out} of {_OTHERS} sign-ins kept out: {dict(answers)}")
    seen.fact(f"{_BURSTS * _OTHERS} sign-ins beside {_BURSTS * _SIGN_INS} of one address")


async def _login(service: Service, address: str) -> str:
    connection = Connection(service.port, address=address)
    # Each for another account, because accounts have a limit, too.
    login = {**_LOGIN, "email": f"of-{address}@example.com"}
    try:
        answer = await connection.ask("POST", "/api/auth/login", body=login)
    finally:
        connection.close()
    return connection.failure if answer is None else str(answer.status)


async def _state(service: Service) -> str:
    answer = await service.ask("GET", "/readyz")
    return "no answer" if answer is None else str(answer.json()["rate_limits"])


async def _is_back(service: Service) -> bool:
    return await _state(service) == "ok"


async def hanging(stage: Stage) -> Seen:
    """Stop Redis' process while requests arrive at a steady rate, and let it continue."""
    seen = Seen()
    redis = Redis(stage)
    await redis.start()
    async with stage.service({"RATE_LIMIT_STORAGE": redis.url}) as service:
        await _warm_up(stage, service)
        async with stage.clients(8, service, per_second=_PER_SECOND) as crowd:
            await crowd.until_all_are_served()
            redis.hang()
            await asyncio.sleep(_NOTICED_SECONDS)
            noticed, crowd.ledger.traffic = crowd.ledger.traffic, Traffic()
            await asyncio.sleep(_HANGING_SECONDS)
            meanwhile, crowd.ledger.traffic = crowd.ledger.traffic, Traffic()
            redis.go_on()
            await crowd.until_all_are_served()
            back = await until(lambda: _is_back(service), "Redis is not used again")
        slow = sum(seconds > _SLOW_SECONDS for seconds in meanwhile.good_seconds)
        probes = int(_HANGING_SECONDS / _PROBE_PAUSE_SECONDS) + 1
        seen.require(slow <= probes, f"{slow} requests waited for Redis")
        seen.require(not meanwhile.statuses["503"], "503 for a hanging Redis")
        seen.fact(f"p99 {milliseconds(percentile(meanwhile.good_seconds, 99))} while it hangs")
        waited = sum(seconds > _SLOW_SECONDS for seconds in noticed.good_seconds)
        seen.fact(f"{waited} waited until it was noticed, {slow} in {_HANGING_SECONDS:.0f} s after")
        seen.fact(f"used again after {milliseconds(back)}")
        seen.requests += noticed.requests + meanwhile.requests
    seen.count(crowd.ledger)
    return seen


DRILLS: Final = (
    Drill(
        (73,),
        "200 requests at once, and Redis down",
        "Redis is not considered unavailable; while it is, each process counts on its own",
        busy,
    ),
    Drill(
        (85,),
        "a Redis that hangs",
        "only a probe tries it again; requests do not wait for it",
        hanging,
    ),
)
