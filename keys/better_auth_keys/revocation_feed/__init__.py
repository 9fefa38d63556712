"""Follow the tables of revocations in PostgreSQL, and keep a `RevocationList` up to date with them.

`RevocationFeed` does this with its own connections, and needs the extra `postgres`. An application
that has connections of its own gives them to `StoredRevocations` and `RevocationLoader`.
"""

from better_auth_keys.revocation_feed.feed import RevocationFeed
from better_auth_keys.revocation_feed.loader import (
    MAX_ENTRIES,
    RevocationLoader,
    TooManyRevocationsError,
)
from better_auth_keys.revocation_feed.stored import (
    CHANNELS,
    KEYS_CHANNEL,
    PART,
    TOKENS_CHANNEL,
    Part,
    RecordedRevocation,
    StoredRevocations,
)

__all__ = [
    "CHANNELS",
    "KEYS_CHANNEL",
    "MAX_ENTRIES",
    "PART",
    "TOKENS_CHANNEL",
    "Part",
    "RecordedRevocation",
    "RevocationFeed",
    "RevocationLoader",
    "StoredRevocations",
    "TooManyRevocationsError",
]
