"""Exit codes, and how a command reports that it failed. Standard library only: set-up uses it."""

import sys
from typing import Final

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOTHING_DUE: Final = 3


def fail(command: str, reason: object, code: int = FAILED) -> int:
    """Write why a command failed to stderr, in one line, and return its exit code."""
    print(f"{command}: {reason}", file=sys.stderr)
    return code
