"""Parse JSON bodies strictly: one encoding, one media type, no duplicate members.

FastAPI accepts UTF-16, a byte order mark, and duplicate members, of which it uses the last. Two
programs can read different tasks from such a body (RFC 8259 sections 4 and 8.1).
"""

import json
import re
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from better_auth_keys import StrictDecoder
from service.http.binding import MISSING
from service.http.body_limit import MAX_BODY_BYTES
from service.http.problem_document import ContentTooLargeError, ProblemError


async def read_json(request: Request) -> object:
    """Return the request's decoded body, or `MISSING` if there is none.

    Raises `ProblemError` (413, 415), and `RequestValidationError` if it is not valid JSON.
    """
    require_json(request)
    body = await _read(request)
    if not body:
        return MISSING
    try:
        return _decode(body)
    except json.JSONDecodeError as error:
        # The same error that FastAPI raises for the operations that it calls itself.
        raise RequestValidationError([{"type": "json_invalid", "loc": ("body",)}]) from error


class JsonRequest(Request):
    """A request whose body is JSON or empty."""

    async def json(self) -> Any:
        """Return the decoded body. Raises `json.JSONDecodeError` if it is not valid JSON."""
        return _decode(await self.body())


class JsonRoute(APIRoute):
    """A public operation whose body is parsed strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler of this operation, with a strict parser."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            require_json(request)
            return await handle(JsonRequest(request.scope, request.receive))

        return strict


def require_json(request: Request) -> None:
    """Raise `ProblemError` (415) if there is a body that is not declared as uncompressed JSON."""
    fields: Mapping[bytes, bytes] = dict(request.scope["headers"])
    # Checked with a pattern before FastAPI parses it: the standard library's parser of this header
    # takes quadratic time for a long value, and fails for some values.
    content_type = fields.get(b"content-type", b"")
    if content_type == _USUAL and b"content-encoding" not in fields:
        return
    if fields.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in fields:
        return
    is_json = len(content_type) <= _MAX_CONTENT_TYPE and _JSON_TYPE.fullmatch(content_type)
    if not is_json or fields.get(b"content-encoding", _PLAIN).lower() != _PLAIN:
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Send the body as application/json in UTF-8, without compression.",
        )


async def _read(request: Request) -> bytes:
    body = bytearray()
    while True:
        message = await request.receive()
        if message["type"] != "http.request":
            # The client is gone: no one reads the answer, and the log needs no traceback.
            raise HTTPException(HTTPStatus.BAD_REQUEST)
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise ContentTooLargeError
        if not message.get("more_body", False):
            return bytes(body)


def _decode(body: bytes) -> Any:
    try:
        return _DECODER.decode(body)
    except ValueError:
        # One kind of error, without the body, which FastAPI would put into its own message.
        raise json.JSONDecodeError("not JSON", "", 0) from None


_USUAL: Final = b"application/json"
_PLAIN: Final = b"identity"
_MAX_CONTENT_TYPE: Final = 200
_JSON_TYPE: Final = re.compile(
    rb"application/(?:merge-patch\+)?json[ \t]*(?:;[ \t]*charset=(\"?)utf-?8\1[ \t]*)?",
    re.IGNORECASE,
)
# The schema refuses NaN with a 422 that names the member.
_DECODER: Final = StrictDecoder(allow_nan=True)
