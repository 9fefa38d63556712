"""The edge of the application: request ids, headers on every answer, and one log line a request.

Pure ASGI: the middleware that FastAPI suggests for this costs a request 0.2 ms.
"""

import logging
import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.answer_headers import complete_headers, request_id_of
from service.http.problem_document import internal_error
from service.system.metrics import count_request

logger: Final = logging.getLogger("service.requests")


class Edge:
    """Wraps everything that answers requests: no answer leaves without its id and a log line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with its id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope["headers"])
        scope["request_id"] = request_id
        method = scope["method"]
        # HEAD is answered as GET is (RFC 9110 section 9.3.2); the server leaves the body out.
        inner = {**scope, "method": "GET"} if method == "HEAD" else scope
        started_at, status = time.perf_counter(), 0

        async def send_complete(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = complete_headers(message.get("headers", ()), request_id)
            await send(message)

        try:
            await self._app(inner, receive, send_complete)
        except Exception:
            # FastAPI has answered it with a 500 and raised it again to be logged, here.
            logger.exception("unexpected error (request %s)", request_id)
            if not status:
                await internal_error(request_id)(inner, receive, send_complete)
        finally:
            seconds = time.perf_counter() - started_at
            route = getattr(inner.get("route"), "path", "none")
            count_request(method, route, status, seconds)
            # The path without its query: people put secrets into queries.
            logger.info(
                "%s %s %d %.1f ms (request %s)",
                method,
                scope["path"].encode("unicode_escape").decode(),
                status,
                seconds * 1000,
                request_id,
            )
