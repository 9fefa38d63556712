"""The opaque cursor of a list: the start of the next page, signed and bound to owner and query."""

import base64
import hmac
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Final
from uuid import UUID

import orjson

from service.security.owner import Owner
from service.tasks.query import SortKey, TaskQuery

_MAC_BYTES: Final = 16


class BadCursorError(Exception):
    """The cursor was not issued by this service to this owner for this query."""


@dataclass(frozen=True, slots=True)
class Position:
    """The last task of a page: its sort key, and its id to order tasks with equal keys."""

    key: SortKey
    id: UUID


class CursorSigner:
    """Writes and reads cursors. `secret` is the service's own, and the same on every replica."""

    def __init__(self, secret: bytes) -> None:
        # The text separates this use of the secret from others.
        key = hmac.digest(secret, b"task-cursor", "sha256")
        # A keyed BLAKE2 is a MAC (RFC 7693), and faster than an HMAC of SHA-256.
        self._keyed = blake2b(key=key, digest_size=_MAC_BYTES)

    def write(self, owner: Owner, query: TaskQuery, last: Position) -> str:
        """Return the cursor of the page after `last`."""
        key = last.key.isoformat() if isinstance(last.key, datetime) else last.key
        data = orjson.dumps([key, last.id.hex])
        signed = self._mac(owner, query, data) + data
        return base64.urlsafe_b64encode(signed).decode().rstrip("=")

    def read(self, owner: Owner, query: TaskQuery, cursor: str) -> Position:
        """Return the position after which the page begins. Raises `BadCursorError`."""
        try:
            signed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        except ValueError:
            raise BadCursorError from None
        mac, data = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(owner, query, data)):
            raise BadCursorError
        # The signature is valid, so this service wrote the data.
        key, task_id = orjson.loads(data)
        return Position(datetime.fromisoformat(key) if isinstance(key, str) else key, UUID(task_id))

    def _mac(self, owner: Owner, query: TaskQuery, data: bytes) -> bytes:
        owner_id, identity = owner.id.encode(), query.identity.encode()
        mac = self._keyed.copy()
        # The lengths separate the items from each other.
        mac.update(b"%d,%d," % (len(owner_id), len(identity)) + owner_id + identity + data)
        return mac.digest()
