"""The limit on the size of a request's body."""

from typing import Final

from starlette.types import Scope

MAX_BODY_BYTES: Final = 256 * 1024

_MANY_DIGITS: Final = 16


def declared_length(scope: Scope) -> int:
    """Return the body length in bytes that a request's headers declare, or 0."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            # int() raises ValueError for thousands of digits.
            return int(value) if len(value) < _MANY_DIGITS else MAX_BODY_BYTES + 1
    return 0  # there is none, or the server has already refused it
