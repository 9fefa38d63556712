"""Refusals of HTTP messages, before they become requests to the application."""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from service.http.answer_headers import complete_headers
from service.http.problem_document import problem_response

_Headers = Sequence[tuple[bytes, bytes]]

# A name or an IPv4 address, or an IPv6 address in brackets; a port is optional. This is narrower
# than RFC 3986's reg-name, which allows characters (such as a comma) that no host name has.
_HOST: Final = re.compile(
    rb"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2}){1,255}(?::[0-9]{0,5})?"
    rb"|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{0,5})?"
)

logger: Final = logging.getLogger("service.requests")


@dataclass(frozen=True, slots=True, eq=False)
class Refusal:
    """Why a message is refused: it is over a limit, or malformed or ambiguous.

    The connection is closed after it, unless the message may be sent again after `retry_after`
    seconds.
    """

    status: HTTPStatus
    code: str
    detail: str
    retry_after: int | None = None

    def answer(
        self, request_id: str, more_headers: Iterable[tuple[bytes, bytes]], *, with_body: bool
    ) -> bytes:
        """Return the response's bytes."""
        shown = request_id.encode("ascii")
        status_line, *head, body, rest_of_body = _template(self, len(shown))
        more = b"".join([b"%s: %s\r\n" % header for header in more_headers])
        answer = status_line + more + shown.join(head)
        return answer + body + shown + rest_of_body if with_body else answer

    def write_down(self, request_id: str) -> None:
        """Write the line of a refused message to the log."""
        logger.info("refused: %d %s (request %s)", self.status, self.code, request_id)


HEAD_TOO_LARGE: Final = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "headers_too_large",
    "The headers are larger than 64 KiB, or there are more than 100.",
)
URI_TOO_LONG: Final = Refusal(
    HTTPStatus.REQUEST_URI_TOO_LONG, "uri_too_long", "The URL is longer than 8 KiB."
)
TOO_MANY_REQUESTS: Final = Refusal(
    HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_requests",
    "Too many pipelined requests. Wait for the responses.",
)
BODY_TOO_LARGE: Final = Refusal(
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "content_too_large", "The body is larger than 256 KiB."
)


@lru_cache(64)
def _template(refusal: Refusal, id_length: int) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Return the parts of a response: its status line, then its head and its body around the id."""
    stand_in = "x" * id_length
    response = problem_response(stand_in, refusal.status, refusal.code, refusal.detail)
    headers = complete_headers(response.raw_headers, stand_in)
    if refusal.retry_after is None:
        headers.append((b"connection", b"close"))
    else:
        headers.append((b"retry-after", str(refusal.retry_after).encode()))
    head = b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n"
    place = stand_in.encode()
    status_line = f"HTTP/1.1 {refusal.status.value} {refusal.status.phrase}\r\n".encode()
    before, after = head.split(place)
    body, rest_of_body = bytes(response.body).split(place)
    return status_line, before, after, body, rest_of_body


def malformed(detail: str) -> Refusal:
    """Return the refusal of a message that is not valid HTTP."""
    return _bad_request("malformed_request", detail)


def flaw_of(version: str, headers: _Headers, *, upgrade: bool) -> Refusal | None:
    """Return why a head is refused, or None. It must be clear where its message ends."""
    fields, names = dict(headers), [name for name, _ in headers]
    hosts, codings = names.count(b"host"), names.count(b"transfer-encoding")
    if version not in {"1.0", "1.1"}:
        return malformed("Only HTTP/1.0 and HTTP/1.1 are supported.")
    # RFC 9112 section 3.2. HTTP/1.0 does not require the header.
    if hosts > 1 or (not hosts and version == "1.1"):
        return _bad_request("invalid_host", "Send one Host header.")
    if hosts and not _HOST.fullmatch(fields[b"host"].strip(b" \t")):
        return _bad_request("invalid_host", "The Host header is not valid.")
    # RFC 9112 section 6.1: with an unknown coding, the end of the message is unknown.
    is_chunked = codings == 1 and fields[b"transfer-encoding"].lower() == b"chunked"
    if codings and (not is_chunked or version == "1.0"):
        return _bad_request(
            "unknown_transfer_coding",
            "The only supported Transfer-Encoding is chunked, in HTTP/1.1.",
        )
    if upgrade and (codings or fields.get(b"content-length", b"").strip(b"0")):
        return _bad_request("upgrade_with_body", "A request with Upgrade must not have a body.")
    return None


def _bad_request(code: str, detail: str) -> Refusal:
    return Refusal(HTTPStatus.BAD_REQUEST, code, detail)
