"""Who asks, with which tokens, about which tasks: the same for every server that is measured."""

import base64
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from better_auth_keys import Signer

LIVE_TASKS: Final = 100
_DELETED_TASKS: Final = 20_000
_MOST_DELETED: Final = 100
# Room for 40,000 tasks: a measurement of three seconds has created 29,000, without its warm-up.
HEAVY_USERS: Final = 40
HEAVY_TASKS: Final = 9_000
_FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
_ID: Final = 0x0190_F3A2_7B1C_7000_8000_0000_0000_0000
_LIFETIME_SECONDS: Final = 7_200
_HEAVY: Final = 1_000_000

Row = tuple[
    str, UUID, str, str | None, bool, int, None, datetime, datetime, datetime | None, int, object
]


@dataclass(frozen=True)
class World:
    """`users` users, each with LIVE_TASKS tasks and some deleted ones.

    Beside them HEAVY_USERS with HEAVY_TASKS each, where a measurement asks for those.
    """

    signer: Signer
    issuer: str
    users: int

    @property
    def deleted_tasks(self) -> int:
        """How many deleted tasks each user has, for as many restorations."""
        return min(_MOST_DELETED, max(1, _DELETED_TASKS // self.users))

    def user(self, number: int) -> str:
        """Return the id of a user, as long as Better Auth's."""
        return f"user{number:028d}"

    def heavy_user(self, number: int) -> str:
        """Return the id of a user with HEAVY_TASKS tasks."""
        return self.user(_HEAVY + number)

    def task_id(self, user: int, number: int) -> UUID:
        """Return the id of a user's task: first the live ones, then the deleted ones."""
        return UUID(int=_ID + (user << 20) + number)

    def rows(self) -> Iterator[Row]:
        """Return the rows of the table of tasks."""
        for user in range(self.users):
            for number in range(LIVE_TASKS + self.deleted_tasks):
                yield self._row(self.user(user), self.task_id(user, number), number)

    def heavy_rows(self) -> Iterator[Row]:
        """Return the rows of the users with HEAVY_TASKS tasks."""
        for user in range(HEAVY_USERS):
            for number in range(HEAVY_TASKS):
                identity = self.task_id(_HEAVY + user, number)
                yield self._row(self.heavy_user(user), identity, number % LIVE_TASKS)

    def token(self, user: str) -> str:
        """Sign an access token with the claims of a Better Auth session; no two are the same."""
        now = int(time.time())
        return self.signer.mint(
            {
                "id": user,
                "name": "Ada",
                "email": f"{user}@example.com",
                "emailVerified": True,
                "image": None,
                "createdAt": "2026-01-01T00:00:00.000Z",
                "updatedAt": "2026-01-01T00:00:00.000Z",
                "sid": f"session{next(_COUNTER):025d}",
                "iat": now,
                "exp": now + _LIFETIME_SECONDS,
                "iss": self.issuer,
                "aud": self.issuer,
                "sub": user,
            }
        )

    @staticmethod
    def _row(owner: str, identity: UUID, number: int) -> Row:
        at = _FIRST + timedelta(minutes=number)
        done = number % 2 == 0
        deleted = datetime.now(UTC) if number >= LIVE_TASKS else None
        title = f"Task {number} of a user who has many"
        note = "Publish, wait, activate, retire." if number % 3 else None
        stamps = (at, at, at if done else None)
        return (owner, identity, title, note, done, number % 4, None, *stamps, 1, deleted)


def forged(token: str) -> str:
    """Return the token with a signature that is well-formed and wrong."""
    head, payload, signature = token.split(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[8] ^= 1
    return f"{head}.{payload}.{base64.urlsafe_b64encode(raw).decode().rstrip('=')}"


def body_of(number: int) -> bytes:
    """Return the JSON of a new task."""
    task = {
        "title": f"New task {number}",
        "description": "To be done soon.",
        "priority": number % 4,
    }
    return json.dumps(task, separators=(",", ":")).encode()


_COUNTER: Final = itertools.count()
