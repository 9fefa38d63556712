"""Tokens verified before: a bounded memory of them, kept under a hash of the whole token.

It saves the cryptography and nothing else. The verifier asks on every hit whether the token's times
still hold and whether its key is still the issuer's; refusals are never kept.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cachetools import LRUCache

from keys.claims import AccessToken
from keys.jwk import VerificationKey

DEFAULT_SIZE: Final = 8 * 1024 * 1024
"""Characters of tokens: some ten thousand of Better Auth's."""


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """What a token was found to be, and the key that its signature was made with."""

    token: AccessToken
    key: VerificationKey
    length: int
    """Of the compact form, in characters."""


@dataclass(slots=True)
class CacheCounters:
    """How often the cache had the answer, and how often not."""

    hits: int = 0
    misses: int = 0


class VerifiedTokenCache:
    """Keeps the most recently used tokens, up to `size` characters of them; 0 keeps none.

    Characters and not tokens are counted: claims take memory by their length, so a count of tokens
    would bound nothing where an issuer writes long ones.
    """

    def __init__(self, size: int = DEFAULT_SIZE) -> None:
        self._entries: LRUCache[bytes, VerifiedToken] = LRUCache(size, lambda entry: entry.length)
        self.counters = CacheCounters()

    @staticmethod
    def key_of(token: str) -> bytes:
        """Hash the whole token: two that differ in one character are two entries."""
        return sha256(token.encode("utf-8", "surrogatepass")).digest()

    def get(self, key: bytes) -> VerifiedToken | None:
        """Give the entry, and count whether there was one."""
        entry = self._entries.get(key)
        if entry is None:
            self.counters.misses += 1
        else:
            self.counters.hits += 1
        return entry

    def put(self, key: bytes, verified: VerifiedToken) -> None:
        """Keep an entry; those that were not used for longest make room."""
        if verified.length <= self._entries.maxsize:
            self._entries[key] = verified

    def drop(self, key: bytes) -> None:
        """Forget an entry."""
        self._entries.pop(key, None)

    def __len__(self) -> int:
        return len(self._entries)
