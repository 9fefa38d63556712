"""CORS: which web apps may call the API from a browser and read its responses and errors."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.http.answer_headers import RawHeaders
from service.http.problem_document import problem_response

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_REQUEST_HEADERS: Final = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "traceparent",
)
_ANSWER_HEADERS: Final = (
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)
_VARY: Final = (b"vary", b"Origin")


class Cors:
    """The CORS rules of the service. `origins` may be `("*",)`. Starlette checks preflights."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._rules = CORSMiddleware(
            _no_app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_REQUEST_HEADERS,
            # Scripts send the token in a header; the API uses no cookies.
            allow_credentials=False,
        )
        exposed = (b"access-control-expose-headers", ", ".join(_ANSWER_HEADERS).encode())
        self._foreign: RawHeaders = (exposed, _VARY)
        self._allowed: Mapping[bytes, RawHeaders] = {
            origin.encode(): ((b"access-control-allow-origin", origin.encode()), exposed, _VARY)
            for origin in origins
        }
        self._any = self._allowed.get(b"*")

    def headers(self, origin: bytes | None) -> RawHeaders:
        """Return the headers of a response to `origin`; None means that no browser sent it."""
        if origin is None:
            return (_VARY,)
        return self._any or self._allowed.get(origin, self._foreign)

    def preflight(self, scope: Scope) -> Response:
        """Return the response to a preflight."""
        response = self._rules.preflight_response(Headers(scope=scope))
        if response.status_code == HTTPStatus.OK:
            return response
        kept = {
            name: value
            for name, value in response.headers.items()
            if name == "vary" or name.startswith("access-control-")
        }
        return problem_response(
            scope["request_id"],
            HTTPStatus.BAD_REQUEST,
            "cors_refused",
            "The CORS settings of this service do not allow this origin, method or header.",
            headers=kept,
        )


async def _no_app(_scope: Scope, _receive: Receive, _send: Send) -> None:
    """Stand in for the application: Starlette's middleware only answers preflights here."""
