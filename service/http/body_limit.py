"""The bound on a request's body, by the length that it declares.

FastAPI bounds what is really read (`max_body_size`). Pure ASGI.
"""

from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.problem_document import problem_response

MAX_BODY_BYTES: Final = 256 * 1024

_MANY_DIGITS: Final = 16


class BodyLimit:
    """Refuses a body that says it is too large, before anything else is asked."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or _declared_length(scope) <= MAX_BODY_BYTES:
            await self._app(scope, receive, send)
            return
        response = problem_response(
            scope["request_id"],
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "content_too_large",
            "The body is over 256 KiB.",
            # The body is not going to be read, so the connection cannot be used again.
            headers={"Connection": "close"},
        )
        await response(scope, receive, send)


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            # However many digits there are: int() would refuse thousands of them.
            return int(value) if len(value) < _MANY_DIGITS else MAX_BODY_BYTES + 1
    return 0  # none, or one that the server has refused before us
