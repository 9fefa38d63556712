"""CORS: which web apps may call from a browser. Outermost of all, for they must read errors too."""

from http import HTTPStatus
from secrets import token_hex

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from service.problem import problem_response


class Cors(CORSMiddleware):
    """Starlette's middleware, with a problem document for a preflight that is refused."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
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
        """Answer a preflight."""
        response = super().preflight_response(request_headers)
        if response.status_code == HTTPStatus.OK:
            return response
        kept = {
            name: value
            for name, value in response.headers.items()
            if name == "vary" or name.startswith("access-control-")
        }
        return problem_response(
            token_hex(8),
            HTTPStatus.BAD_REQUEST,
            "cors_refused",
            "This origin, method or header is not allowed here.",
            headers=kept,
        )
