"""CORS: which web apps may call from a browser. Outermost of all, for they must read errors too."""

from http import HTTPStatus
from secrets import token_hex

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from service.problem import problem_response


class Cors(CORSMiddleware):
    """Starlette's middleware, with a problem document for a preflight that is refused."""

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
