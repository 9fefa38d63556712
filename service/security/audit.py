"""The security log: one JSON line for each event, on its own logger (`security`).

Event names and fields follow the OWASP logging vocabulary where it has one. A subject is written as
a hash with a key of this deployment: the lines of one user can be found, but they do not name the
user. Tokens, passwords, cookies and e-mail addresses are never written. Claims of a refused token
(a kid, an issuer) are marked as unverified, and are written only if they have the expected form.
"""

import hmac
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Final

from cachetools import TTLCache
from fastapi import Request

from service.system.trace_ids import trace_ids

logger = logging.getLogger("security")

_MAX_DETAIL: Final = 200
_CLAIM: Final = re.compile(r"(?:https?://)?[A-Za-z0-9._:-]{1,80}", re.ASCII)
_PURPOSE: Final = b"security log"


class Event(StrEnum):
    """The kinds of events."""

    START_UP = "sys_startup"
    PROBING = "authz_not_found_rate"
    TOKEN_REFUSED = "authn_token_refused"  # noqa: S105 - no password
    LOGIN = "authn_login_success"
    LOGIN_FAILED = "authn_login_fail"
    REGISTERED = "user_created"
    DELETED = "user_deleted"
    REFRESHED = "authn_token_created"
    LOGGED_OUT = "session_logout"
    REVOKED = "authn_token_revoked"
    FORBIDDEN = "authz_fail"
    RATE_LIMITED = "excess_rate_limit_exceeded"
    KEY_SET = "sys_key_set"


_LEVELS: Final[Mapping[Event, int]] = {
    Event.LOGIN_FAILED: logging.WARNING,
    Event.TOKEN_REFUSED: logging.WARNING,
    Event.FORBIDDEN: logging.WARNING,
    Event.PROBING: logging.WARNING,
    Event.RATE_LIMITED: logging.WARNING,
}


# Events that a client without a valid token can cause with every request.
_CAN_FLOOD: Final = (Event.TOKEN_REFUSED, Event.RATE_LIMITED)
MAX_A_SECOND: Final = 100


@dataclass(slots=True)
class _Flood:
    """The number of lines of an event written in the current second, and omitted since the last."""

    second: int = 0
    written: int = 0
    left_out: int = 0

    def let_pass(self, now: float) -> bool:
        """Return whether to write another line, and count it."""
        if int(now) != self.second:
            self.second, self.written = int(now), 0
        if self.written >= MAX_A_SECOND:
            self.left_out += 1
            return False
        self.written += 1
        return True


class SecurityLog:
    """Writes events. `secret` keys the hashes of subjects and is the same on every replica.

    In a flood, only `MAX_A_SECOND` lines of a refusal's event are written. The next line of that
    event has the number of omitted lines, and the metrics count them all.
    """

    def __init__(self, secret: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        self._key = hmac.digest(secret, _PURPOSE, sha256)
        self._clock = clock
        self._floods = {event: _Flood() for event in _CAN_FLOOD}

    def write(
        self,
        event: Event,
        request: Request | None = None,
        *,
        subject: str | None = None,
        level: int | None = None,
        **details: str | float | Mapping[str, str] | None,
    ) -> None:
        """Write one event at `level`, or at its usual level. Details that are None are omitted."""
        left_out = 0
        if flood := self._floods.get(event):
            if not flood.let_pass(self._clock()):
                return
            left_out, flood.left_out = flood.left_out, 0
        level = _LEVELS.get(event, logging.INFO) if level is None else level
        line: dict[str, object] = {
            "datetime": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "appid": "better-auth-resource-server",
            "event": event.value,
            "level": logging.getLevelName(level),
        }
        if request is not None:
            line["request_id"] = request.scope.get("request_id")
            line["source_ip"] = None if request.client is None else request.client.host
            line["request_method"] = request.method
        if subject is not None:
            line["userid"] = self.hashed(subject)
        for name, value in details.items():
            line[name] = value[:_MAX_DETAIL] if isinstance(value, str) else value
        if left_out:
            line["left_out"] = left_out
        line.update(trace_ids())
        written = {name: value for name, value in line.items() if value is not None}
        logger.log(level, "%s", json.dumps(written))

    def hashed(self, subject: str) -> str:
        """Return the hash that is written for a subject."""
        return hmac.digest(self._key, subject.encode("utf-8", "replace"), sha256).hex()[:24]


class NotFoundWatch:
    """Counts each user's 404s in a minute: guessing the ids of tasks causes many.

    Whether an id belongs to another user is unknown here, because row-level security hides it.
    """

    _STEPS: Final = (20, 100, 500)

    def __init__(self) -> None:
        self._counts: TTLCache[str, int] = TTLCache(10_000, 60)

    def count(self, subject: str) -> int | None:
        """Count one 404. Return the number so far if it is to be logged, else None."""
        number = self._counts.get(subject, 0) + 1
        self._counts[subject] = number
        return number if number in self._STEPS else None


def claimed(value: object) -> str | None:
    """Return an unverified claim if it has the form of a kid or an origin, else None."""
    return value if isinstance(value, str) and _CLAIM.fullmatch(value) else None
