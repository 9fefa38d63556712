"""The text of events (`text/event-stream`, HTML Living Standard section 9.2)."""

import secrets
from enum import StrEnum
from typing import Final

LIVE: Final = b"event: live\ndata: {}\n\n"
PAUSED: Final = b"event: paused\ndata: {}\n\n"
HEARTBEAT: Final = b":\n\n"

_SHORTEST_PAUSE: Final = 1_000
_LONGEST_PAUSE: Final = 5_000


class End(StrEnum):
    """Why a stream ended. The last three are only in the log and the metrics."""

    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - no password
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - no password
    UNDECIDED = "undecided"
    RESTARTING = "restarting"
    TOO_SLOW = "too_slow"
    TOO_MANY = "too_many"
    CLIENT_LEFT = "client_left"


def task_event(task_id: str, version: str) -> bytes:
    """Return the event of a task that has a new version."""
    return f'event: task\ndata: {{"id":"{task_id}","version":{version}}}\n\n'.encode()


def end_event(reason: End) -> bytes:
    """Return the last event, with a random pause: streams end together, but must not return so."""
    pause = _SHORTEST_PAUSE + secrets.randbelow(_LONGEST_PAUSE - _SHORTEST_PAUSE)
    return f'retry: {pause}\nevent: end\ndata: {{"reason":"{reason}"}}\n\n'.encode()
