"""CORS: which web apps may call from a browser, and read the answer, errors included."""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.problem_document import problem_response


class Cors(CORSMiddleware):
    """Starlette's middleware, with a problem document for a preflight that is refused."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=(
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "If-Match",
                "If-None-Match",
            ),
            expose_headers=(
                "ETag",
                "Idempotency-Replayed",
                "Location",
                "RateLimit",
                "RateLimit-Policy",
                "Retry-After",
                "WWW-Authenticate",
                "X-Request-ID",
            ),
            # Tokens travel in a header that scripts set; cookies have no business here.
            allow_credentials=False,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return the answer to a preflight."""
        response = super().preflight_response(request_headers)
        if response.status_code == HTTPStatus.OK:
            return response
        kept = {
            name: value
            for name, value in response.headers.items()
            if name == "vary" or name.startswith("access-control-")
        }
        return _RefusedPreflight(kept)


class _RefusedPreflight(Response):
    """A problem document that is written when the request is at hand, for its id."""

    def __init__(self, kept: Mapping[str, str]) -> None:
        super().__init__()
        self._kept = kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = problem_response(
            scope["request_id"],
            HTTPStatus.BAD_REQUEST,
            "cors_refused",
            "This origin, method or header is not allowed here.",
            headers=self._kept,
        )
        await response(scope, receive, send)
