"""A response whose body is encoded JSON, and whose headers are known bytes."""

from http import HTTPStatus

from starlette.responses import Response

from service.http.answer_headers import RawHeaders


class JsonResponse(Response):
    """Skips Starlette's general handling of bodies and headers."""

    def __init__(
        self,
        body: bytes,
        status: HTTPStatus,
        headers: RawHeaders,
        content_type: bytes = b"application/json",
    ) -> None:
        self.status_code = int(status)
        self.body = body
        self.background = None
        self.raw_headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", content_type),
            *headers,
        ]
