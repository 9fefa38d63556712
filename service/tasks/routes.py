"""The task API: HTTP in, HTTP out. No SQL and no policy here."""

import re
from http import HTTPStatus
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from service.auth import READ, WRITE, AuthenticatedRoute, CurrentUser, User, require_scope
from service.database import Database
from service.openapi import problems
from service.problems import NotFoundError, ProblemError
from service.tasks.cursor import BadCursorError, CursorSigner
from service.tasks.repository import TaskRepository
from service.tasks.schemas import Task, TaskPage, TaskPatch, TaskWrite, page_json, task_json

MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 50

_CANONICAL_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ALWAYS: Final = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.SERVICE_UNAVAILABLE,
)
_QUERY: Final = problems(HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
_BODY: Final = problems(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
_ONE: Final = problems(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND)

router: Final = APIRouter(
    prefix="/api/tasks",
    tags=["tasks"],
    responses=problems(*_ALWAYS),
    route_class=AuthenticatedRoute,
)


async def _readable(request: Request, user: CurrentUser) -> TaskRepository:
    return _tasks_of(request, user, READ)


async def _writable(request: Request, user: CurrentUser) -> TaskRepository:
    return _tasks_of(request, user, WRITE)


def _tasks_of(request: Request, user: User, scope: str) -> TaskRepository:
    require_scope(user, scope)
    database = request.app.state.database
    assert isinstance(database, Database)  # noqa: S101 - app.py wires nothing else
    return TaskRepository(database, user.owner)


async def _task_id(
    task_id: Annotated[str, Path(json_schema_extra={"format": "uuid"})],
) -> UUID:
    """Take an id in its one canonical form; in any other, it names no task."""
    if _CANONICAL_ID.fullmatch(task_id) is None:
        raise NotFoundError
    return UUID(task_id)


ReadableTasks = Annotated[TaskRepository, Depends(_readable)]
WritableTasks = Annotated[TaskRepository, Depends(_writable)]
TaskId = Annotated[UUID, Depends(_task_id)]


@router.get(
    "",
    operation_id="listTasks",
    summary="List your tasks",
    response_model=TaskPage,
    responses=_QUERY,
)
async def list_tasks(
    request: Request,
    user: CurrentUser,
    tasks: ReadableTasks,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = DEFAULT_PAGE,
    cursor: Annotated[
        str | None, Query(max_length=200, description="The `next_cursor` of the page before.")
    ] = None,
) -> Response:
    """Give your tasks, newest first, a page at a time."""
    cursors = request.app.state.cursors
    assert isinstance(cursors, CursorSigner)  # noqa: S101 - app.py wires nothing else
    after = None
    if cursor is not None:
        try:
            after = cursors.read(user.owner, cursor)
        except BadCursorError:
            raise ProblemError(
                HTTPStatus.BAD_REQUEST, "bad_cursor", "Start again without a cursor."
            ) from None
    # One more than asked for tells whether there is a next page.
    found = await tasks.list_page(limit=limit + 1, after=after)
    items, more = found[:limit], len(found) > limit
    page = TaskPage(items, cursors.write(user.owner, items[-1].id) if more else None)
    return _json(page_json(page))


@router.post(
    "",
    operation_id="createTask",
    summary="Create a task",
    response_model=Task,
    status_code=HTTPStatus.CREATED,
    responses=_BODY,
)
async def create_task(tasks: WritableTasks, body: TaskWrite) -> Response:
    """Add a task. Only the title is required."""
    task = await tasks.create(body)
    return _json(task_json(task), HTTPStatus.CREATED, {"Location": f"{router.prefix}/{task.id}"})


@router.get(
    "/{task_id}", operation_id="getTask", summary="Read a task", response_model=Task, responses=_ONE
)
async def get_task(tasks: ReadableTasks, task_id: TaskId) -> Response:
    """Give one of your tasks."""
    return _found(await tasks.get(task_id))


@router.put(
    "/{task_id}",
    operation_id="replaceTask",
    summary="Replace a task",
    response_model=Task,
    responses={**_ONE, **_BODY},
)
async def replace_task(tasks: WritableTasks, task_id: TaskId, body: TaskWrite) -> Response:
    """Replace one of your tasks whole: a member that is not sent goes back to its default."""
    return _found(await tasks.change(task_id, body.model_dump()))


@router.patch(
    "/{task_id}",
    operation_id="changeTask",
    summary="Change parts of a task",
    response_model=Task,
    responses={**_ONE, **_BODY},
)
async def change_task(tasks: WritableTasks, task_id: TaskId, body: TaskPatch) -> Response:
    """Change the members that are sent (RFC 7396): null empties a member, absence keeps it."""
    return _found(await tasks.change(task_id, body.changes()))


@router.delete(
    "/{task_id}",
    operation_id="deleteTask",
    summary="Delete a task",
    status_code=HTTPStatus.NO_CONTENT,
    responses=_ONE,
)
async def delete_task(tasks: WritableTasks, task_id: TaskId) -> Response:
    """Delete one of your tasks."""
    if not await tasks.delete(task_id):
        raise NotFoundError
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _found(task: Task | None) -> Response:
    if task is None:
        raise NotFoundError
    return _json(task_json(task))


def _json(
    body: bytes, status: HTTPStatus = HTTPStatus.OK, headers: dict[str, str] | None = None
) -> Response:
    # Written here and not by FastAPI, which would validate our own rows a second time. No shared
    # cache may keep what belongs to one user (RFC 9111 section 5.2.2.7).
    return Response(
        body, status, {"Cache-Control": "private, no-cache", **(headers or {})}, "application/json"
    )
