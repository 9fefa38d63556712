"""The opaque cursor of a list: where the next page begins, signed and bound to its owner."""

import base64
import hmac
from typing import Final
from uuid import UUID

from service.owner import Owner

_MAC_BYTES: Final = 16
_ID_BYTES: Final = 16


class BadCursorError(Exception):
    """Not a cursor that this service gave to this owner."""


class CursorSigner:
    """Writes and reads cursors. `secret` is the service's own and the same on every replica."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def write(self, owner: Owner, last: UUID) -> str:
        """Give the cursor of the page after the task `last`."""
        data = last.bytes + self._mac(owner, last.bytes)
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    def read(self, owner: Owner, cursor: str) -> UUID:
        """Give the id after which the page begins. Raises `BadCursorError`."""
        try:
            data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        except ValueError:
            raise BadCursorError from None
        position, mac = data[:_ID_BYTES], data[_ID_BYTES:]
        if not hmac.compare_digest(mac, self._mac(owner, position)):
            raise BadCursorError
        return UUID(bytes=position)

    def _mac(self, owner: Owner, position: bytes) -> bytes:
        # The prefix keeps this use of the secret apart from any other.
        message = b"task-cursor\0" + position + owner.id.encode()
        return hmac.digest(self._secret, message, "sha256")[:_MAC_BYTES]
