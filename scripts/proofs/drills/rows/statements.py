"""Drills of statements that wait, fail or become out of date: disconnects, locks, migrations."""

import asyncio
import uuid
from http import HTTPStatus
from typing import Final

from scripts.proofs.drills.drill import Drill, Seen
from scripts.proofs.drills.system.connection import Answer, Connection
from scripts.proofs.drills.system.service import Service
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import milliseconds
from scripts.proofs.drills.system.waiting import until

_POOL: Final = 10
_GONE_SECONDS: Final = 1.0
_LOCK_SECONDS: Final = 3.0
_MIGRATIONS: Final = (
    "ALTER TABLE public.tasks ADD COLUMN drill text",
    "ALTER TABLE public.tasks ALTER COLUMN drill TYPE varchar(10)",
    "CREATE INDEX tasks_drill ON public.tasks (drill)",
    # Now a plan returns another type.
    "ALTER TABLE public.tasks ALTER COLUMN title TYPE varchar(300)",
    "ANALYZE public.tasks",
    "ALTER TABLE public.tasks ALTER COLUMN title TYPE text",
    "DROP INDEX public.tasks_drill",
    "ALTER TABLE public.tasks DROP COLUMN drill",
)
_ROUNDS: Final = 3


async def disconnected(stage: Stage) -> Seen:
    """Reset connections while their queries run. The queries end, and the pool serves on."""
    seen = Seen()
    token = stage.issuer.token("user-who-leaves")
    async with stage.service({"DATABASE_POOL_SIZE": str(_POOL)}) as service:
        async with stage.clients(2 * _POOL, service) as crowd:
            await crowd.until_all_are_served()
        seen.count(crowd.ledger)
        async with stage.database.session() as blocker:
            await blocker.exec_driver_sql("BEGIN")
            await blocker.exec_driver_sql("LOCK TABLE public.tasks IN ACCESS EXCLUSIVE MODE")
            leaving = [Connection(service.port) for _ in range(_POOL)]
            for connection in leaving:
                await connection.send_only("GET", "/api/tasks", token=token)
            seen.requests += _POOL
            await until(lambda: _running(stage, _POOL), "the queries did not start")
            for connection in leaving:
                connection.reset()
            took = await until(lambda: _running(stage, 0), "the queries were not cancelled")
            await blocker.exec_driver_sql("ROLLBACK")
        seen.require(took < _GONE_SECONDS, f"cancelled only after {milliseconds(took)}")
        seen.fact(f"{_POOL} queries cancelled in {milliseconds(took)}")
        async with stage.clients(2 * _POOL, service) as crowd:
            await crowd.until_all_are_served()
        seen.require(not crowd.ledger.traffic.statuses["503"], "the pool did not recover")
        connections = await stage.database.connections()
        seen.fact(f"{connections} database connections after that")
    seen.count(crowd.ledger)
    return seen


async def _running(stage: Stage, number: int) -> bool:
    return await stage.database.waiting() == number


async def locked(stage: Stage) -> Seen:
    """Lock a row, make a deadlock, and make a serialization failure."""
    seen = Seen()
    user = f"user{uuid.uuid4().hex[:24]}"
    async with stage.service() as service:
        meeting = _Meeting(stage, service, user)
        answer = await meeting.row_is_locked()
        seen.require(answer.status == HTTPStatus.SERVICE_UNAVAILABLE, f"lock: {answer.status}")
        seen.require(answer.retry_after, "lock: no Retry-After")
        seen.require(answer.seconds < _LOCK_SECONDS, f"lock: {milliseconds(answer.seconds)}")
        seen.fact(f"locked row: {answer.status} after {milliseconds(answer.seconds)}")
        for name, meet in (
            ("deadlock", meeting.deadlock),
            ("serialization failure", meeting.serialization_failure),
        ):
            answer = await meet()
            # The transaction is repeated, and then there is nothing in its way.
            good = answer.status in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}
            seen.require(good, f"{name}: {answer.status}, not repeated")
            seen.fact(f"{name}: {answer.status} after {milliseconds(answer.seconds)}")
        seen.requests += meeting.requests
    return seen


class _Meeting:
    """A transaction of another program that meets a request of one user."""

    def __init__(self, stage: Stage, service: Service, user: str) -> None:
        self._stage, self._service, self._user = stage, service, user
        self._token = stage.issuer.token(user)
        self.requests = 0

    async def row_is_locked(self) -> Answer:
        """Return the answer to a change of a row that stays locked."""
        task_id = await self._create()
        async with self._stage.database.session() as other:
            await other.exec_driver_sql("BEGIN")
            await other.exec_driver_sql(_LOCK_TASK, (task_id,))
            answer = await self._ask("PATCH", task_id, {"title": "locked"})
            await other.exec_driver_sql("ROLLBACK")
        return answer

    async def deadlock(self) -> Answer:
        """Return the answer to a deletion that a deadlock ends."""
        task_id = await self._create()
        async with self._stage.database.session() as other:
            await other.exec_driver_sql("SET deadlock_timeout = '60s'")  # the service notices it
            await other.exec_driver_sql("BEGIN")
            await other.exec_driver_sql(_LOCK_COUNT, (self._user,))
            asking = asyncio.ensure_future(self._ask("DELETE", task_id))
            await until(self._waiting, "the deletion does not wait")
            await other.exec_driver_sql(_LOCK_TASK, (task_id,))
            await other.exec_driver_sql("ROLLBACK")
            return await asking

    async def serialization_failure(self) -> Answer:
        """Return the answer to a change whose snapshot is too old."""
        task_id = await self._create()
        isolation = "ALTER ROLE app SET default_transaction_isolation = 'repeatable read'"
        await self._stage.database.execute(isolation)
        await self._stage.database.end_connections()
        try:
            async with self._stage.database.session() as other:
                await other.exec_driver_sql("BEGIN")
                await other.exec_driver_sql(_TOUCH_TASK, (task_id,))
                asking = asyncio.ensure_future(self._ask("PATCH", task_id, {"title": "new"}))
                await until(self._waiting, "the change does not wait")
                await other.exec_driver_sql("COMMIT")
                return await asking
        finally:
            reset = "ALTER ROLE app RESET default_transaction_isolation"
            await self._stage.database.execute(reset)

    async def _waiting(self) -> bool:
        return await self._stage.database.waiting() > 0

    async def _create(self) -> str:
        answer = await self._ask("POST", "", {"title": "to be met"})
        return str(answer.json()["id"])

    async def _ask(
        self, method: str, task_id: str, body: dict[str, object] | None = None
    ) -> Answer:
        self.requests += 1
        path = f"/api/tasks/{task_id}" if task_id else "/api/tasks"
        return await self._service.must_answer(method, path, token=self._token, body=body)


_LOCK_TASK: Final = "SELECT FROM public.tasks WHERE id::text = $1 FOR UPDATE"
_LOCK_COUNT: Final = "SELECT FROM public.task_counts WHERE owner_id = $1 FOR UPDATE"
_TOUCH_TASK: Final = "UPDATE public.tasks SET priority = 1 WHERE id::text = $1"


async def migrated(stage: Stage) -> Seen:
    """Change the table, and the types of its columns, while clients use it."""
    seen = Seen()
    async with stage.service() as service, stage.clients(16, service) as crowd:
        for _ in range(_ROUNDS):
            for statement in _MIGRATIONS:
                await stage.database.execute(statement)
                await crowd.until_all_are_served()
    seen.fact(f"{_ROUNDS * len(_MIGRATIONS)} changes, {crowd.ledger.traffic.refusals()}")
    seen.fact(f"longest stall {milliseconds(crowd.ledger.traffic.longest_stall)}")
    seen.count(crowd.ledger)
    return seen


DRILLS: Final = (
    Drill(
        (53,),
        "clients disconnect during a query",
        "the query is canceled, the connection can be used again",
        disconnected,
    ),
    Drill(
        (54,),
        "a locked row, a deadlock, a serialization failure",
        "lock timeout, retry of the whole transaction, then 503",
        locked,
    ),
    Drill(
        (57,),
        "a migration changes a table under load",
        "no 500 from a prepared plan that is out of date",
        migrated,
    ),
)
