"""The task API. Routes hold no SQL and no policy.

A new operation is a method of the repository and a route. `ReadableTasks` and `WritableTasks`
decide who may call it.
"""

import re
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from service.http.json_response import JsonResponse
from service.http.openapi import described_problem, headers, problems
from service.http.problem_document import NotFoundError, ProblemError
from service.security.authentication import (
    READ,
    WRITE,
    AuthenticatedRoute,
    CurrentUser,
    User,
    require_access,
)
from service.services import Services, services_of
from service.tasks.cursor import BadCursorError, CursorSigner
from service.tasks.preconditions import etag_of, expected_versions, is_unchanged
from service.tasks.query import TaskQuery
from service.tasks.repository import TaskRepository
from service.tasks.schemas import Task, TaskPage, TaskPatch, TaskWrite, page_json, task_json

_CANONICAL_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ALWAYS: Final = problems(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_QUERY: Final = problems(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.TOO_MANY_REQUESTS)
_BODY: Final = problems(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
_ONE: Final = problems(HTTPStatus.NOT_FOUND)
_STALE: Final = problems(HTTPStatus.PRECONDITION_FAILED)

router: Final = APIRouter(
    prefix="/api/tasks", tags=["tasks"], responses=_ALWAYS, route_class=AuthenticatedRoute
)


async def _readable(request: Request, user: CurrentUser) -> TaskRepository:
    services = services_of(request)
    require_access(services, user, READ)
    return _tasks_of(services, user, tag=None)


async def _writable(request: Request, user: CurrentUser) -> TaskRepository:
    services = services_of(request)
    require_access(services, user, WRITE)
    events = services.events
    return _tasks_of(services, user, tag=None if events is None else events.tags.of(user.owner))


def _tasks_of(services: Services, user: User, *, tag: str | None) -> TaskRepository:
    return TaskRepository(services.database, user.owner, max_tasks=services.max_tasks, tag=tag)


async def _cursors(request: Request) -> CursorSigner:
    return services_of(request).cursors


async def _task_id(
    task_id: Annotated[str, Path(json_schema_extra={"format": "uuid"})],
) -> UUID:
    """Return an id in its canonical form. Raises `NotFoundError` for any other form."""
    if _CANONICAL_ID.fullmatch(task_id) is None:
        raise NotFoundError
    return UUID(task_id)


ReadableTasks = Annotated[TaskRepository, Depends(_readable)]
WritableTasks = Annotated[TaskRepository, Depends(_writable)]
TaskId = Annotated[UUID, Depends(_task_id)]
Cursors = Annotated[CursorSigner, Depends(_cursors)]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description="An ETag. The task is changed only if it still has this version; otherwise the"
        " response is 412.",
    ),
]
IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        description="An ETag. If the task still has this version, the response is 304 without a"
        " body.",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A unique key for this request, such as a UUID. Repeating the request with the"
        " same key within 24 hours returns the same task and creates no second one.",
    ),
]


@router.get(
    "",
    operation_id="listTasks",
    summary="List your tasks",
    response_model=TaskPage,
    responses=_QUERY,
)
async def list_tasks(
    user: CurrentUser,
    tasks: ReadableTasks,
    cursors: Cursors,
    query: Annotated[TaskQuery, Query()],
) -> Response:
    """Return your tasks, one page at a time. The newest come first unless you set `sort`.

    Send `next_cursor` as `cursor` to get the next page, until `next_cursor` is null. With filters,
    a page examines up to 1,000 tasks (with `q` also up to about 1 MB of text), so it can have fewer
    tasks than `limit`, or none, and still a `next_cursor`.
    """
    after = None
    if query.cursor is not None:
        try:
            after = cursors.read(user.owner, query, query.cursor)
        except BadCursorError:
            raise ProblemError(
                HTTPStatus.BAD_REQUEST,
                "bad_cursor",
                "The cursor is not valid for this user, filters and sort. Start again without a"
                " cursor.",
            ) from None
    found = await tasks.list_page(query, limit=query.limit, after=after)
    cursor = None if found.next is None else cursors.write(user.owner, query, found.next)
    return JsonResponse(page_json(TaskPage(found.tasks, cursor)), HTTPStatus.OK, (_PRIVATE,))


@router.post(
    "",
    operation_id="createTask",
    summary="Create a task",
    response_model=Task,
    status_code=HTTPStatus.CREATED,
    responses={
        **_BODY,
        **described_problem(
            HTTPStatus.CONFLICT,
            "Task limit reached, or a request with this Idempotency-Key is still in progress.",
        ),
        **headers(HTTPStatus.CREATED, "Location", "ETag", "Idempotency-Replayed"),
    },
)
async def create_task(
    tasks: WritableTasks, body: TaskWrite, idempotency_key: IdempotencyKey = None
) -> Response:
    """Create a task. Only the title is required."""
    created = True
    if idempotency_key is None:
        task = await tasks.create(body)
    else:
        task, created = await tasks.create_once(body, idempotency_key)
    location = (b"location", f"{router.prefix}/{task.id}".encode())
    replayed = () if created else ((b"idempotency-replayed", b"true"),)
    return _task(task, HTTPStatus.CREATED, location, *replayed)


@router.get(
    "/{task_id}",
    operation_id="getTask",
    summary="Get a task",
    response_model=Task,
    responses={
        **_ONE,
        **headers(HTTPStatus.OK, "ETag"),
        HTTPStatus.NOT_MODIFIED.value: {
            "description": "The task still has the version in If-None-Match."
        },
    },
)
async def get_task(
    tasks: ReadableTasks, task_id: TaskId, if_none_match: IfNoneMatch = None
) -> Response:
    """Return one of your tasks."""
    task = _found(await tasks.get(task_id))
    if is_unchanged(task, if_none_match):
        response = Response(status_code=HTTPStatus.NOT_MODIFIED)
        response.raw_headers += [_PRIVATE, _etag(task)]
        return response
    return _task(task)


@router.put(
    "/{task_id}",
    operation_id="replaceTask",
    summary="Replace a task",
    response_model=Task,
    responses={**_ONE, **_BODY, **_STALE, **headers(HTTPStatus.OK, "ETag")},
)
async def replace_task(
    tasks: WritableTasks, task_id: TaskId, body: TaskWrite, if_match: IfMatch = None
) -> Response:
    """Replace one of your tasks. Members that are not sent are reset to their defaults."""
    versions = expected_versions(if_match)
    return _task(_found(await tasks.change(task_id, body.columns(), versions=versions)))


@router.patch(
    "/{task_id}",
    operation_id="changeTask",
    summary="Update a task",
    response_model=Task,
    responses={**_ONE, **_BODY, **_STALE, **headers(HTTPStatus.OK, "ETag")},
)
async def change_task(
    tasks: WritableTasks, task_id: TaskId, body: TaskPatch, if_match: IfMatch = None
) -> Response:
    """Change only the members that are sent (RFC 7396). null removes a value."""
    versions = expected_versions(if_match)
    return _task(_found(await tasks.change(task_id, body.changes(), versions=versions)))


@router.delete(
    "/{task_id}",
    operation_id="deleteTask",
    summary="Delete a task",
    status_code=HTTPStatus.NO_CONTENT,
    responses={**_ONE, **_STALE},
)
async def delete_task(tasks: WritableTasks, task_id: TaskId, if_match: IfMatch = None) -> Response:
    """Delete one of your tasks. It can be restored for 30 days."""
    if not await tasks.delete(task_id, versions=expected_versions(if_match)):
        raise NotFoundError
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post(
    "/{task_id}/restore",
    operation_id="restoreTask",
    summary="Restore a deleted task",
    response_model=Task,
    responses={
        **_ONE,
        **described_problem(HTTPStatus.CONFLICT, "Task limit reached."),
        **headers(HTTPStatus.OK, "ETag"),
    },
)
async def restore_task(tasks: WritableTasks, task_id: TaskId) -> Response:
    """Restore one of your tasks within 30 days of its deletion."""
    return _task(_found(await tasks.restore(task_id)))


def _found(task: Task | None) -> Task:
    if task is None:
        raise NotFoundError
    return task


def _task(
    task: Task, status: HTTPStatus = HTTPStatus.OK, *further: tuple[bytes, bytes]
) -> JsonResponse:
    # Encoded here because FastAPI would validate our own rows again.
    return JsonResponse(task_json(task), status, (_PRIVATE, _etag(task), *further))


def _etag(task: Task) -> tuple[bytes, bytes]:
    return b"etag", etag_of(task).encode()


# Shared caches must not store the data of one user (RFC 9111 section 5.2.2.7).
_PRIVATE: Final = (b"cache-control", b"private, no-cache")
