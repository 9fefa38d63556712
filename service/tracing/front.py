"""`TracedFront`: a span for each request, around all that `Front` does."""

from http import HTTPStatus
from typing import Final

from opentelemetry.context import attach, detach
from opentelemetry.trace import SpanKind, StatusCode, get_current_span, set_span_in_context
from starlette.types import Receive, Scope, Send

from service.http.front import Front
from service.tracing.spans import parent_of

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_METHOD: Final = "recorded_method"


class TracedFront(Front):
    """A `Front` whose requests are recorded, as children of the span that the client names."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request within its span."""
        tracing = self._services.tracing
        if tracing is None or scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        # The parent is always stated: uvicorn starts the next request of a connection within the
        # context of the one before.
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        span = tracing.tracer.start_span(
            method,
            parent_of(scope["headers"]),
            SpanKind.SERVER,
            {"http.request.method": method},
        )
        scope[_METHOD] = method  # `Front` handles HEAD as GET
        token = attach(set_span_in_context(span))
        try:
            await super().__call__(scope, receive, send)
        finally:
            detach(token)
            span.end()

    def _finish(self, scope: Scope, status: int) -> None:
        span = get_current_span()
        if not span.is_recording():
            return
        if (route := getattr(scope.get("route"), "path", None)) is not None:
            span.update_name(f"{scope[_METHOD]} {route}")
            span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            span.set_attribute("error.type", str(status))
            span.set_status(StatusCode.ERROR)
