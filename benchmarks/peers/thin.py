"""The floor: Starlette's routes, asyncpg, orjson, and a cache of verified tokens; nothing else.

No validation beyond what the database refuses, no limits, no logs; the owner condition is its only
wall. Run as `python -m benchmarks.peers.thin`.
"""

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, cast
from uuid import UUID, uuid4

import asyncpg
import jwt  # type: ignore[import-not-found] # installed for the benchmark alone
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

ISSUER: Final = os.environ["ISSUER"]
ROW: Final = (
    "id, title, description, completed, priority, due_at, created_at, updated_at, completed_at,"
    " version"
)
ORDERS: Final = {
    "created_at": "created_at, id",
    "-created_at": "created_at DESC, id DESC",
    "updated_at": "updated_at, id",
    "-updated_at": "updated_at DESC, id DESC",
}
FILTERS: Final[dict[str, Any]] = {"completed": "true".__eq__, "priority": int}
GET: Final = f"SELECT {ROW} FROM tasks WHERE owner_id = $1 AND id = $2 AND deleted_at IS NULL"  # noqa: S608 - ours
CREATE: Final = (
    "INSERT INTO tasks (owner_id, id, title, description, completed, priority, created_at,"  # noqa: S608 - ours
    " updated_at, completed_at, version) VALUES ($1, $2, $3, $4, $5, $6, now(), now(),"
    f" CASE WHEN $5 THEN now() END, 1) RETURNING {ROW}"
)
CHANGE: Final = (
    "UPDATE tasks SET updated_at = now(), version = version + 1, {sets}"  # noqa: S608 - ours
    f" WHERE owner_id = $1 AND id = $2 AND deleted_at IS {{state}} RETURNING {ROW}"
)
DELETE: Final = CHANGE.format(sets="deleted_at = now()", state="NULL")
RESTORE: Final = CHANGE.format(sets="deleted_at = NULL", state="NOT NULL")
WHOLE: Final = {"description": None, "completed": False, "priority": 0}
MAX_TOKENS: Final = 10_000

keys = jwt.PyJWKClient(os.environ["JWKS_URL"])
verified: dict[str, tuple[str, float]] = {}


def owner_of(request: Request) -> str | None:
    """Return the subject of the access token, or None if the token is not valid."""
    token = request.headers.get("authorization", "")[7:]
    found = verified.get(token)
    if found is not None and found[1] > time.time():
        return found[0]
    try:
        key = keys.get_signing_key_from_jwt(token)
        claims = jwt.decode(token, key, algorithms=["EdDSA"], audience=ISSUER, issuer=ISSUER)
    except jwt.PyJWTError:
        return None
    if len(verified) >= MAX_TOKENS:
        verified.clear()
    verified[token] = (claims["sub"], claims["exp"])
    return cast("str", claims["sub"])


def answer(body: object, status: int = 200) -> Response:
    """Write a JSON response; asyncpg's UUIDs are of a class that orjson does not know."""
    return Response(orjson.dumps(body, default=str), status, media_type="application/json")


async def one(request: Request, statement: str, *values: object, status: int = 200) -> Response:
    """Run a statement on one task of the owner and return the task."""
    owner = owner_of(request)
    if owner is None:
        return Response(status_code=401)
    row = await request.app.state.pool.fetchrow(statement, owner, *values)
    return Response(status_code=404) if row is None else answer(dict(row), status)


async def list_tasks(request: Request) -> Response:
    """List the owner's tasks."""
    owner = owner_of(request)
    if owner is None:
        return Response(status_code=401)
    query = request.query_params
    limit = int(query.get("limit", "50"))
    values: list[object] = [owner, limit + 1]
    where = "owner_id = $1 AND deleted_at IS NULL"
    for name, parse in FILTERS.items():
        if name in query:
            values.append(parse(query[name]))
            where += f" AND {name} = ${len(values)}"
    order = ORDERS[query.get("sort", "-created_at")]
    statement = f"SELECT {ROW} FROM tasks WHERE {where} ORDER BY {order} LIMIT $2"  # noqa: S608 - ours
    rows = await request.app.state.pool.fetch(statement, *values)
    cursor = rows[limit - 1]["id"] if len(rows) > limit else None
    return answer({"items": [dict(row) for row in rows[:limit]], "next_cursor": cursor})


async def create_task(request: Request) -> Response:
    """Add a task."""
    body = {**WHOLE, **orjson.loads(await request.body())}
    values = (body["title"], body["description"], body["completed"], body["priority"])
    return await one(request, CREATE, uuid4(), *values, status=201)


async def get_task(request: Request) -> Response:
    """Return a task."""
    return await one(request, GET, UUID(request.path_params["task_id"]))


async def change_task(defaults: Mapping[str, object], request: Request) -> Response:
    """Change a task."""
    body = {**defaults, **orjson.loads(await request.body())}
    sets = [f"{name} = ${number}" for number, name in enumerate(body, 3)]
    if "completed" in body:
        sets.append(f"completed_at = CASE WHEN {body['completed']} THEN now() END")
    statement = CHANGE.format(sets=", ".join(sets), state="NULL")
    return await one(request, statement, UUID(request.path_params["task_id"]), *body.values())


async def delete_task(request: Request) -> Response:
    """Delete a task."""
    response = await one(request, DELETE, UUID(request.path_params["task_id"]))
    return Response(status_code=204) if response.status_code == 200 else response  # noqa: PLR2004 - an HTTP status


async def restore_task(request: Request) -> Response:
    """Restore a deleted task."""
    return await one(request, RESTORE, UUID(request.path_params["task_id"]))


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Keep a pool of connections."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], max_size=10) as pool:
        app.state.pool = pool
        yield


ROUTES: Final = [
    Route("/api/tasks", list_tasks, methods=["GET"]),
    Route("/api/tasks", create_task, methods=["POST"]),
    Route("/api/tasks/{task_id}", get_task, methods=["GET"]),
    Route("/api/tasks/{task_id}", partial(change_task, WHOLE), methods=["PUT"]),
    Route("/api/tasks/{task_id}", partial(change_task, {}), methods=["PATCH"]),
    Route("/api/tasks/{task_id}", delete_task, methods=["DELETE"]),
    Route("/api/tasks/{task_id}/restore", restore_task, methods=["POST"]),
]

if __name__ == "__main__":
    uvicorn.run(
        Starlette(routes=ROUTES, lifespan=lifespan),
        port=int(os.environ["PORT"]),
        access_log=False,
        log_level="warning",
    )
