"""`Front`: what happens to every request before and after it is handled.

It finds the client's address and scheme and the request id, handles CORS, HTTPS and the limit on
bodies, completes the response's headers, and writes the log line and the metrics. All of this is
one pure ASGI application instead of five middlewares (docs/decisions/0032 has what the short path
of a request is worth).
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from service.http.answer_headers import RawHeaders, complete_headers, request_id_of
from service.http.body_limit import is_too_large
from service.http.connections.dispatch import ABANDONED
from service.http.connections.running import ARRIVED
from service.http.connections.whole_response import cycle_of, send_whole
from service.http.cors import Cors
from service.http.error_table import LOGGED, answer
from service.http.forwarded import HSTS, TrustedProxies, https_required
from service.http.operations import Operations
from service.http.problem_document import ContentTooLargeError, internal_error
from service.services import SCOPE_KEY, Services
from service.system.buffered_log import LineLogger
from service.system.metrics import count_request

logger: Final = logging.getLogger("service.requests")
access_log: Final = LineLogger(logger.name)

_CLIENT_GONE: Final = 499
"""The status in logs and metrics if the client left before the response, as in nginx."""
_CLOSE: Final = (b"connection", b"close")
_SCHEME_NAMED: Final = "scheme_named_by_proxy"
_Fields = Mapping[bytes, bytes]
"""A request's header fields. Of a field that was sent twice, the last one."""


class Front:
    """Wraps the application. With `https_only`, requests over plain HTTP are refused."""

    def __init__(  # noqa: PLR0913 - its parts, each passed by name
        self,
        app: FastAPI,
        services: Services,
        *,
        operations: Operations,
        proxies: TrustedProxies,
        cors: Cors,
        https_only: bool,
    ) -> None:
        self._app = app
        self._services = services
        self.admission = services.admission
        self._operations = operations
        self._proxies = proxies
        self._cors = cors
        self._https_only = https_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Every response has a request id and a line in the log."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at, status = scope.get(ARRIVED) or time.perf_counter(), 0
        scope[SCOPE_KEY] = self._services
        fields = dict(scope["headers"])
        if self._proxies.are_trusted(scope):
            await self._proxies.apply(scope, receive, send)
            scope[_SCHEME_NAMED] = b"x-forwarded-proto" in fields
        request_id = scope["request_id"] = request_id_of(fields.get(b"x-request-id"))
        method = scope["method"]
        # HEAD is handled as GET (RFC 9110 section 9.3.2); the server omits the body.
        inner = {**scope, "method": "GET"} if method == "HEAD" else scope
        further = self._further_headers(scope, fields)

        async def send_complete(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.get("headers", ())
                message["headers"] = complete_headers(headers, request_id, further)
            await send(message)

        try:
            response = await self._respond(inner, receive, fields)
            cycle = None if response is None else cycle_of(response, send)
            if response is not None and cycle is not None:
                status = response.status_code
                headers = complete_headers(response.raw_headers, request_id, further)
                await send_whole(cycle, status, headers, bytes(response.body))
            else:
                await (response or self._app)(inner, receive, send_complete)
        except asyncio.CancelledError:
            if ABANDONED not in scope:
                raise
            status = status or _CLIENT_GONE
        except Exception:
            logger.exception("unexpected error (request %s)", request_id)
            if not status:
                await internal_error(request_id)(inner, receive, send_complete)
        finally:
            self.admission.leave(scope)
            self._finish(inner, status)
            _write_down(inner, method, status, time.perf_counter() - started_at, request_id)

    def _finish(self, scope: Scope, status: int) -> None:
        """Do nothing. `service/tracing/front.py` completes the span of the request here."""

    async def _respond(self, scope: Scope, receive: Receive, fields: _Fields) -> Response | None:
        """Return the response, or None if FastAPI must handle the request."""
        if _is_preflight(scope, fields):
            return self._cors.preflight(scope)
        if is_too_large(fields.get(b"content-length")):
            return answer(Request(scope), ContentTooLargeError())
        if self._https_only and scope.get(_SCHEME_NAMED) and scope["scheme"] != "https":
            return https_required(scope, self._services.own_url)
        return await self._operations.respond(scope, receive)

    def _further_headers(self, scope: Scope, fields: _Fields) -> RawHeaders:
        # The response to a preflight has its own CORS headers.
        is_preflight = _is_preflight(scope, fields)
        further = () if is_preflight else self._cors.headers(fields.get(b"origin"))
        # Browsers ignore HSTS over plain HTTP (RFC 6797 section 7.2).
        if self._https_only and scope["scheme"] == "https":
            further = (*further, HSTS)
        return (*further, _CLOSE) if self._services.draining.begun else further


def _write_down(scope: Scope, method: str, status: int, seconds: float, request_id: str) -> None:
    """Write the metrics and the line in the log."""
    count_request(method, getattr(scope.get("route"), "path", "none"), status, seconds)
    if LOGGED not in scope:
        # The path without its query, which may contain secrets.
        path = _printable(scope["path"])
        took = f"{seconds * 1000:.1f} ms"
        access_log.info(
            f"{method} {path} {status} {took} (request {request_id})",
            (method, path, status, seconds, request_id),
        )


def _printable(path: str) -> str:
    """Return a path with its unprintable characters escaped. Most paths have none."""
    if path.isascii() and path.isprintable() and "\\" not in path:
        return path
    return path.encode("unicode_escape").decode()


def _is_preflight(scope: Scope, fields: _Fields) -> bool:
    names = (b"origin", b"access-control-request-method")
    return scope["method"] == "OPTIONS" and all(name in fields for name in names)
