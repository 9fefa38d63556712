"""The headers that every answer carries: its request id, and what a browser may do with it.

They are kept as raw pairs, made once: every request passes here.
"""

import re
import secrets
from collections.abc import Iterable
from typing import Final

RawHeaders = tuple[tuple[bytes, bytes], ...]
"""Header fields as ASGI has them; names in lower case."""

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_-]{8,64}")
_POLICY: Final = b"content-security-policy"
_ALWAYS: Final = (
    # A body is never run or shown as another type than its own.
    (b"x-content-type-options", b"nosniff"),
    # Paths contain the ids of tasks; other sites must not learn them from a link.
    (b"referrer-policy", b"no-referrer"),
)
# For JSON and everything else that is no page. A page sends a policy of its own.
_NO_PAGE: Final = (*_ALWAYS, (_POLICY, b"default-src 'none'; frame-ancestors 'none'"))


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the id that a proxy in front gave the request, or a new one."""
    for name, value in headers:
        if name == b"x-request-id":
            if _REQUEST_ID.fullmatch(value):
                return value.decode("ascii")
            break
    return secrets.token_hex(8)


def complete_headers(
    headers: Iterable[tuple[bytes, bytes]], request_id: str, further: RawHeaders = ()
) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers together with those that every answer carries."""
    found = [*headers, (b"x-request-id", request_id.encode("ascii")), *further]
    is_page = any(name == _POLICY for name, _ in found)
    found += _ALWAYS if is_page else _NO_PAGE
    return found
