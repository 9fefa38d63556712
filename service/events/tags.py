"""`OwnerTags`: names of owners in notifications, from which the owner cannot be found out.

Every role that can connect to the database can LISTEN to all notifications in it.
"""

import hmac
from hashlib import blake2b
from typing import Final

from service.security.owner import Owner

_TAG_BYTES: Final = 16


class OwnerTags:
    """Computes tags. `secret` is the service's own, and the same on every replica."""

    def __init__(self, secret: bytes) -> None:
        # The text separates this use of the secret from others.
        key = hmac.digest(secret, b"task-events", "sha256")
        self._keyed = blake2b(key=key, digest_size=_TAG_BYTES)

    def of(self, owner: Owner) -> str:
        """Return the tag of an owner. It has no space."""
        mac = self._keyed.copy()
        mac.update(owner.id.encode("utf-8", "surrogatepass"))
        return mac.hexdigest()
