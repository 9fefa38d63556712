"""Operations called directly and by FastAPI's router: equal responses, byte for byte.

FastAPI routes the requests that have a `root_path`. Here it is not a part of the path, so the same
request can be sent both ways.
"""

import re
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from scripts.proofs.in_process import running
from service.app import create_app
from service.database.execution import DatabaseUnavailableError
from service.http.body_limit import MAX_BODY_BYTES
from service.settings.model import Settings
from service.tasks.repository import TaskRepository
from tests.service.conftest import ORIGIN, Person

PATH = "/api/tasks"
BODY = {"title": "One", "priority": 2}
JSON = {"Content-Type": "application/json"}
STALE = {"If-Match": '"v9"'}
GARBAGE = {"Authorization": "Bearer garbage"}
NO_TOKEN = {"Authorization": ""}
TOO_LARGE = b" " * (MAX_BODY_BYTES + 1)

# The status, the request, and what is sent with it. `LIVE`, `GONE` and `NEXT` are the user's.
REQUESTS: Final[dict[str, tuple[int, str, dict[str, Any]]]] = {
    "list": (200, "GET /api/tasks", {}),
    "filters": (200, "GET /api/tasks?sort=-due_at&completed=false&q=task&limit=3", {}),
    "first page": (200, "GET /api/tasks?limit=1", {}),
    "next page": (200, "GET /api/tasks?limit=1&cursor=NEXT", {}),
    "bad cursor": (400, "GET /api/tasks?cursor=none", {}),
    "bad query": (422, "GET /api/tasks?limit=0&sort=size&other=1", {}),
    "repeated parameter": (422, "GET /api/tasks?limit=1&limit=2", {}),
    "another origin": (200, "GET /api/tasks", {"headers": {"Origin": ORIGIN}}),
    "preflight": (
        200,
        "OPTIONS /api/tasks",
        {"headers": {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}},
    ),
    "head": (200, "HEAD /api/tasks", {}),
    "get": (200, "GET /api/tasks/LIVE", {}),
    "get of the same version": (304, "GET /api/tasks/LIVE", {"headers": {"If-None-Match": '"v1"'}}),
    "get of no task": (404, f"GET /api/tasks/{uuid4()}", {}),
    "get of no id": (404, "GET /api/tasks/one", {}),
    "escaped path": (405, "GET /api/tasks/LIVE%2Frestore", {}),
    "slash at the end": (404, "GET /api/tasks/", {}),
    "create": (201, "POST /api/tasks", {"json": BODY}),
    "create once": (201, "POST /api/tasks", {"json": BODY, "headers": {"Idempotency-Key": "a"}}),
    "bad key": (422, "POST /api/tasks", {"json": BODY, "headers": {"Idempotency-Key": "a b"}}),
    "bad body": (422, "POST /api/tasks", {"json": {"title": "", "owner_id": 1}}),
    "no body": (422, "POST /api/tasks", {}),
    "no JSON": (400, "POST /api/tasks", {"content": b"{", "headers": JSON}),
    "other media type": (415, "POST /api/tasks", {"content": b"title=One"}),
    "body too large": (413, "POST /api/tasks", {"content": TOO_LARGE, "headers": JSON}),
    "body too large, in chunks": (413, "POST /api/tasks", {"chunks": TOO_LARGE, "headers": JSON}),
    "patch": (200, "PATCH /api/tasks/LIVE", {"json": {"completed": True}}),
    "patch of another version": (
        412,
        "PATCH /api/tasks/LIVE",
        {"json": {"priority": 1}, "headers": STALE},
    ),
    "put": (200, "PUT /api/tasks/LIVE", {"json": BODY}),
    "put of no version": (
        400,
        "PUT /api/tasks/LIVE",
        {"json": BODY, "headers": {"If-Match": "1"}},
    ),
    "delete": (204, "DELETE /api/tasks/LIVE", {}),
    "restore": (200, "POST /api/tasks/GONE/restore", {}),
    "restore of a live task": (200, "POST /api/tasks/LIVE/restore", {}),
    "stream without TASK_EVENTS": (501, "GET /api/tasks/events", {}),
    "me": (200, "GET /api/auth/me", {}),
    "delete of me": (204, "DELETE /api/auth/me", {}),
    "other method": (405, "PUT /api/tasks", {"json": BODY}),
    "no token": (401, "GET /api/tasks", {"headers": NO_TOKEN}),
    "garbage": (401, "GET /api/tasks", {"headers": GARBAGE}),
    "token in the query": (400, "GET /api/tasks?access_token=a", {}),
    "no token, bad body": (401, "POST /api/tasks", {"json": {}, "headers": NO_TOKEN}),
    "scope to read only": (
        403,
        "POST /api/tasks",
        {"json": BODY, "claims": {"scope": "tasks:read"}},
    ),
    "banned user": (403, "GET /api/tasks", {"claims": {"banned": True}}),
    "database down": (503, "GET /api/tasks/LIVE", {"error": DatabaseUnavailableError("gone")}),
    "mistake in the code": (500, "GET /api/tasks/LIVE", {"error": ZeroDivisionError()}),
}
# Answered before an operation is looked for.
BEFORE_BOTH: Final = {"preflight", "body too large"}
# What differs between two users, and between two requests of one.
_PASSING: Final = re.compile(
    rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    rb"|\d{4}-\d\d-\d\dT[\d:.]+Z"
    rb'|(?<="next_cursor":")[^"]+'
    rb'|(?<="request_id":")[^"]+'
    rb'|(?<="expires_at":)\d+'
)

Both = tuple[httpx.AsyncClient, httpx.AsyncClient]


@pytest.fixture(scope="module")
async def both(settings: Settings) -> AsyncIterator[Both]:
    """Clients of one application: of the operations directly, and of FastAPI's router."""
    app = create_app(settings)
    below = httpx.ASGITransport(app, root_path="/below", raise_app_exceptions=False)
    async with (
        running(app) as direct,
        httpx.AsyncClient(transport=below, base_url=direct.base_url) as routed,
    ):
        yield direct, routed


@pytest.fixture
def routed_by_fastapi(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that FastAPI has been called with."""
    paths: list[str] = []
    called = FastAPI.__call__

    async def call(app: FastAPI, scope: Scope, receive: Receive, send: Send) -> None:
        paths.append(scope["path"])
        await called(app, scope, receive, send)

    monkeypatch.setattr(FastAPI, "__call__", call)
    return paths


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1024):
        yield body[start : start + 1024]


async def prepared(client: httpx.AsyncClient, user: httpx.Headers) -> dict[str, str]:
    """Create two live tasks and a deleted one. Return what the names in `REQUESTS` stand for."""
    made = [
        (await client.post(PATH, headers=user, json={"title": f"task {number}"})).json()["id"]
        for number in range(3)
    ]
    (await client.delete(f"{PATH}/{made[0]}", headers=user)).raise_for_status()
    page = await client.get(f"{PATH}?limit=1", headers=user)
    return {"GONE": made[0], "LIVE": made[1], "NEXT": page.json()["next_cursor"]}


async def answer_to(
    client: httpx.AsyncClient, user: httpx.Headers, names: dict[str, str], case: str
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Send a request. Return the status, headers and body without what always differs."""
    _, request, parts = REQUESTS[case]
    method, path = request.split()
    for name, value in names.items():
        path = path.replace(name, value)
    sent = {name: value for name, value in parts.items() if name in {"json", "content"}}
    if "chunks" in parts:
        sent["content"] = in_chunks(parts["chunks"])
    headers = httpx.Headers(user)
    headers.update(parts.get("headers", {}))
    if not headers["authorization"]:
        del headers["authorization"]
    answer = await client.request(method, path, headers=headers, **sent)
    kept = [
        (name, _PASSING.sub(b"-", value))
        for name, value in answer.headers.raw
        if name != b"x-request-id"
    ]
    return answer.status_code, kept, _PASSING.sub(b"-", answer.content)


@pytest.mark.parametrize("case", REQUESTS)
async def test_operation_answers_directly_as_it_does_below_fastapis_router(
    both: Both,
    headers_of: Person,
    routed_by_fastapi: list[str],
    monkeypatch: pytest.MonkeyPatch,
    case: str,
) -> None:
    status, _, parts = REQUESTS[case]
    claims = parts.get("claims", {})
    users = [f"user-{uuid4()}" for _ in both]
    tasks = [await prepared(both[0], headers_of(user)) for user in users]
    assert routed_by_fastapi == []
    if "error" in parts:

        async def fail(*_: object) -> None:
            raise parts["error"]

        monkeypatch.setattr(TaskRepository, "get", fail)
    direct, routed = [
        await answer_to(client, headers_of(user, **claims), names, case)
        for client, user, names in zip(both, users, tasks, strict=True)
    ]
    assert direct == routed
    assert direct[0] == status
    assert routed_by_fastapi or case in BEFORE_BOTH
