"""The headers of every response: its request id, and the security headers for browsers.

They are prepared once, in ASGI's raw form, because every request needs them.
"""

import random
import re
from collections.abc import Iterable
from typing import Final

RawHeaders = tuple[tuple[bytes, bytes], ...]
"""Header fields in ASGI's form, with names in lower case."""

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_-]{8,64}")
_POLICY: Final = b"content-security-policy"
_ALWAYS: Final = (
    # Browsers must not guess another type for a body than its own.
    (b"x-content-type-options", b"nosniff"),
    # Paths contain the ids of tasks; other sites must not learn them from a link.
    (b"referrer-policy", b"no-referrer"),
)
# For JSON and everything else that is not a page. A page sends its own policy.
_NO_PAGE: Final = (*_ALWAYS, (_POLICY, b"default-src 'none'; frame-ancestors 'none'"))


def request_id_of(offered: bytes | None) -> str:
    """Return the request id that a proxy in front offers, if it is one, or a new one."""
    if offered is not None and _REQUEST_ID.fullmatch(offered):
        return offered.decode("ascii")
    # It keeps nothing secret, and asking the system for random bytes would be a system call.
    return f"{random.getrandbits(64):016x}"


def complete_headers(
    headers: Iterable[tuple[bytes, bytes]], request_id: str, further: RawHeaders = ()
) -> list[tuple[bytes, bytes]]:
    """Return a response's headers, extended by those that every response has."""
    found = [*headers, (b"x-request-id", request_id.encode("ascii")), *further]
    found += _ALWAYS if _POLICY in dict(found) else _NO_PAGE
    return found
