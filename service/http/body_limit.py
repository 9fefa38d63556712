"""The bound on a request's body."""

from typing import Final

from starlette.types import Scope

MAX_BODY_BYTES: Final = 256 * 1024

_MANY_DIGITS: Final = 16


def declared_length(scope: Scope) -> int:
    """Return the length in bytes that a request's head declares for its body; 0 without one."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            # However many digits there are: int() would refuse thousands of them.
            return int(value) if len(value) < _MANY_DIGITS else MAX_BODY_BYTES + 1
    return 0  # none, or one that the server has refused before us
