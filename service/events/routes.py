"""The stream of events (`GET /api/tasks/events`)."""

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from better_auth_keys import counted_address
from service.events.hub import TaskEvents
from service.events.stream import EventStream
from service.http.connections.streaming import HAND_OVER
from service.http.openapi import Responses, described_problem, problems
from service.http.problem_document import ProblemError
from service.security.authentication import (
    READ,
    AuthenticatedRoute,
    CurrentUser,
    require_access,
)
from service.security.rate_limits import IPV6_PREFIX
from service.services import services_of

_MEDIA_TYPE: Final = "text/event-stream"
_EXAMPLE: Final = """event: live
data: {}

event: task
data: {"id":"0199c2f0-5d1c-7c3e-9a52-0f6f2b1f7a10","version":3}

:

retry: 2345
event: end
data: {"reason":"token_expired"}
"""
_STREAM: Final[Responses] = {
    HTTPStatus.OK.value: {
        "description": "The stream. It ends when the access token expires or is revoked.",
        "content": {_MEDIA_TYPE: {"example": _EXAMPLE}},
    },
    **problems(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
    **described_problem(
        HTTPStatus.TOO_MANY_REQUESTS, "Rate limit exceeded, or you have too many open streams."
    ),
    **described_problem(HTTPStatus.NOT_IMPLEMENTED, "This service sends no events."),
}


class EventsUnsupportedError(ProblemError):
    """The service runs without events: 501."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.NOT_IMPLEMENTED,
            "events_unsupported",
            "This service sends no events. Fetch the list of tasks from time to time instead.",
        )


class EventResponse(Response):
    """Begins the response, and hands its connection over to the stream."""

    media_type = _MEDIA_TYPE

    def __init__(self, events: TaskEvents, stream: EventStream) -> None:
        self._events = events
        self._stream = stream
        self.status_code = HTTPStatus.OK.value
        self.background = None
        self.raw_headers = [
            (b"content-type", _MEDIA_TYPE.encode()),
            (b"cache-control", b"no-store"),
            # nginx would collect events before it passes them on.
            (b"x-accel-buffering", b"no"),
            (b"connection", b"close"),
        ]

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the head. Without a connection, as for HEAD, the response ends with it."""
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        hand_over = scope.get(HAND_OVER)
        if hand_over is None or not self._events.open(self._stream, hand_over):
            await send({"type": "http.response.body", "body": b""})


router: Final = APIRouter(prefix="/api/tasks", tags=["tasks"], route_class=AuthenticatedRoute)


@router.get(
    "/events",
    operation_id="streamTaskEvents",
    summary="Stream changes of your tasks",
    status_code=HTTPStatus.OK,
    response_class=EventResponse,
    response_model=None,
    responses=_STREAM,
)
async def stream_task_events(request: Request, user: CurrentUser) -> Response:
    """Return a stream of server-sent events about your tasks, until the access token expires.

    Read it with `fetch`, because `EventSource` cannot send the `Authorization` header.

    - `live`: all changes from now on are sent. Fetch your tasks now; the stream repeats nothing
      from before.
    - `task`: the task `id` was created, changed, deleted or restored, and has this `version`. Fetch
      it; 404 means that it was deleted. Events about the same task may be combined.
    - `paused`: changes cannot be sent at the moment. Fetch your tasks from time to time until the
      next `live`.
    - `end`: the last event. With `token_expired`, connect again with a new token. With
      `token_revoked`, sign in again if you cannot get one. With `undecided` or `restarting`,
      connect again after `retry` milliseconds.

    A comment (`:`) is sent every 15 seconds. If nothing arrives for longer, or the stream ends
    without `end`, connect again.
    """
    services = services_of(request)
    require_access(services, user, READ)
    events = services.events
    if events is None or HAND_OVER not in request.scope:
        raise EventsUnsupportedError
    tag = events.tags.of(user.owner)
    address = "" if request.client is None else counted_address(request.client.host, IPV6_PREFIX)
    events.require_place(tag, address)
    request_id = request.scope["request_id"]
    stream = EventStream(user.token, tag=tag, address=address, request_id=request_id)
    return EventResponse(events, stream)
