"""The limit on the size of a request's body."""

from typing import Final

MAX_BODY_BYTES: Final = 256 * 1024

_MANY_DIGITS: Final = 16


def is_too_large(declared: bytes | None) -> bool:
    """Return whether a Content-Length declares more than the service reads."""
    if declared is None or not declared.isdigit():
        return False  # the server has refused a value that is no number before us
    # int() would refuse thousands of digits.
    return len(declared) >= _MANY_DIGITS or int(declared) > MAX_BODY_BYTES
