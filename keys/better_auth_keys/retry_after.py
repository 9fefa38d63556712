"""How long a server asks to wait before the next request."""

from collections.abc import Mapping
from typing import Final

_MAX_DIGITS: Final = 6  # eleven days: longer than any caller waits


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds in `Retry-After` (RFC 9110 section 10.2.3), or None.

    Better Auth's `X-Retry-After` counts as well. The date form is ignored. `headers` must be
    case-insensitive, or have names in lower case.
    """
    value = headers.get("retry-after") or headers.get("x-retry-after") or ""
    decimal = value.isascii() and value.isdecimal()
    return float(value) if decimal and len(value) <= _MAX_DIGITS else None
