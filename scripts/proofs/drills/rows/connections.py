"""Drills of database connections: ended by the server, silently dead, and a failover."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.roles import provide
from scripts.proofs.drills.drill import Drill, Seen
from scripts.proofs.drills.system.database import Database
from scripts.proofs.drills.system.proxy import Proxy
from scripts.proofs.drills.system.service import Service
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import Traffic, milliseconds
from scripts.proofs.drills.system.waiting import until
from service.migrations.runner import upgrade

_POOL: Final = 10
_CLIENTS: Final = 16
_ENDINGS: Final = 10
_IDLE_SECONDS: Final = 7.0
_FOUND_SECONDS: Final = 3.0
_MOVED_SECONDS: Final = 10.0
_USER: Final = "user-who-moves"


async def ended(stage: Stage) -> Seen:
    """End the service's connections from the server's side, again and again, under load."""
    seen = Seen()
    number = 0
    async with stage.service() as service:
        async with stage.clients(_CLIENTS, service, per_second=200) as crowd:
            await crowd.until_all_are_served()
            for _ in range(_ENDINGS):
                number += await stage.database.end_idle_connections()
                await asyncio.sleep(1)
        refused = crowd.ledger.traffic.statuses["503"]
        seen.require(not refused, f"{refused} x 503")
        seen.fact(f"{number} idle connections ended, {crowd.ledger.traffic.refusals()}")
    seen.count(crowd.ledger)
    return seen


async def silently_dead(stage: Stage) -> Seen:
    """Silence all connections while they are idle. The next requests must not wait for them."""
    seen = Seen()
    traffic = Traffic()
    async with (
        Proxy(stage.server.port) as proxy,
        stage.service(
            {
                "DATABASE_URL": proxy.url(stage.url("app")),
                "DIRECT_DATABASE_URL": stage.url("app"),
                "DATABASE_POOL_SIZE": str(_POOL),
            }
        ) as service,
    ):
        await _at_once(stage, service, Traffic())
        silenced = proxy.silence()
        # Nothing asks meanwhile, so the connections stay idle.
        await asyncio.sleep(_IDLE_SECONDS)
        for _ in range(2):
            await _at_once(stage, service, traffic)
    slowest = max(traffic.good_seconds, default=0.0)
    seen.require(len(traffic.good_seconds) == traffic.requests, traffic.refusals())
    seen.require(slowest < _FOUND_SECONDS, f"a request waited {milliseconds(slowest)}")
    seen.fact(f"{silenced} dead connections; slowest of {traffic.requests} requests")
    seen.fact(milliseconds(slowest))
    seen.requests += traffic.requests
    return seen


async def _at_once(stage: Stage, service: Service, traffic: Traffic) -> None:
    token = stage.issuer.token("user-who-waits")
    asked = [service.ask("GET", "/api/tasks", token=token) for _ in range(2 * _POOL)]
    for answer in await asyncio.gather(*asked):
        traffic.count(answer)


async def failover(stage: Stage) -> Seen:
    """Move the primary to another address, while the old one stays up as a read-only server."""
    seen = Seen()
    async with _second(stage) as other:
        old, new = stage.database, Database(other.url("resource_server"))
        await _set_read_only(new, read_only=True)
        host = f"127.0.0.1:{stage.server.port}"
        url = stage.url("app").replace(host, f"{host},127.0.0.1:{other.port}")
        direct = stage.url("app")
        async with stage.service({"DATABASE_URL": url, "DIRECT_DATABASE_URL": direct}) as service:
            seen.require(await _writes(stage, service), "not writable before the failover")
            await _set_read_only(old, read_only=True)
            await _set_read_only(new, read_only=False)
            took = await until(
                lambda: _writes(stage, service), "no write after the failover", seconds=60
            )
            answers = [await _writes(stage, service) for _ in range(2 * _POOL)]
            seen.require(all(answers), f"{answers.count(False)} writes refused after that")
            seen.requests += len(answers) + 2
        moved = await new.tasks_of([_USER])
        seen.require(len(moved[_USER]) > _POOL, "the writes are not in the new primary")
        seen.require(took < _MOVED_SECONDS, f"writes moved after {milliseconds(took)}")
        seen.fact(f"writes moved after {milliseconds(took)}, {len(moved[_USER])} tasks there")
    return seen


async def _writes(stage: Stage, service: Service) -> bool:
    token, task = stage.issuer.token(_USER), {"title": "moved", "description": "moved"}
    answer = await service.must_answer("POST", "/api/tasks", token=token, body=task)
    return answer.status == HTTPStatus.CREATED


@asynccontextmanager
async def _second(stage: Stage) -> AsyncIterator[EmbeddedPostgres]:
    """Run another server with the same roles and tables."""
    log = stage.logs / "second-postgres.log"
    server = EmbeddedPostgres.persistent(stage.folder / "second", log=log)
    await asyncio.to_thread(server.start)
    try:
        await provide(server.url(), stage.passwords)
        await upgrade(stage.passwords.urls(server.url())["owner"])
        yield server
    finally:
        await asyncio.to_thread(server.stop)


async def _set_read_only(database: Database, *, read_only: bool) -> None:
    value = "on" if read_only else "off"
    await database.execute(
        f"ALTER SYSTEM SET default_transaction_read_only = {value}", "SELECT pg_reload_conf()"
    )


DRILLS: Final = (
    Drill(
        (76,),
        "failover while the old primary stays up as a read-only server",
        "writes move to the new primary",
        failover,
    ),
    Drill(
        (78,),
        "database connections that died silently",
        "found before they are used; no request waits 7 s",
        silently_dead,
    ),
    Drill(
        (88,),
        "the server ends idle connections under load",
        "a statement that was not sent is sent again; no 503",
        ended,
    ),
)
