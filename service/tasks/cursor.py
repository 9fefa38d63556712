"""The opaque cursor of a list: where the next page begins, signed, and bound to owner and query."""

import base64
import hmac
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from service.security.owner import Owner
from service.tasks.query import SortKey, TaskQuery

_MAC_BYTES: Final = 16


class BadCursorError(Exception):
    """Not a cursor that this service gave to this owner for this query."""


@dataclass(frozen=True, slots=True)
class Position:
    """The last task of a page: its place in the sort, and its id for those in the same place."""

    key: SortKey
    id: UUID


class CursorSigner:
    """Writes and reads cursors. `secret` is the service's own and the same on every replica."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def write(self, owner: Owner, query: TaskQuery, last: Position) -> str:
        """Give the cursor of the page after `last`."""
        key = last.key.isoformat() if isinstance(last.key, datetime) else last.key
        data = json.dumps([key, last.id.hex], separators=(",", ":")).encode()
        signed = self._mac(owner, query, data) + data
        return base64.urlsafe_b64encode(signed).decode().rstrip("=")

    def read(self, owner: Owner, query: TaskQuery, cursor: str) -> Position:
        """Give the position after which the page begins. Raises `BadCursorError`."""
        try:
            signed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        except ValueError:
            raise BadCursorError from None
        mac, data = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(owner, query, data)):
            raise BadCursorError
        # From here on it is our own writing.
        key, task_id = json.loads(data)
        return Position(datetime.fromisoformat(key) if isinstance(key, str) else key, UUID(task_id))

    def _mac(self, owner: Owner, query: TaskQuery, data: bytes) -> bytes:
        # The first item keeps this use of the secret apart from any other; lengths keep the items
        # apart from each other.
        message = b""
        for item in (b"task-cursor", owner.id.encode(), query.identity().encode(), data):
            message += len(item).to_bytes(4) + item
        return hmac.digest(self._secret, message, "sha256")[:_MAC_BYTES]
