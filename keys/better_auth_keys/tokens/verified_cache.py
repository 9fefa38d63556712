"""A bounded cache of verified tokens, with a hash of the whole token as key.

A hit saves only the parsing and the signature. The verifier still checks the token's times, its key
and the revocations. Refusals are not cached.
"""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from sys import getsizeof
from types import MappingProxyType
from typing import Any, Final

from better_auth_keys.tokens.claims import AccessToken
from better_auth_keys.tokens.compact import SHARED_NAMES
from better_auth_keys.tokens.jwk import VerificationKey

DEFAULT_MAX_BYTES: Final = 16_000_000
"""Enough for about 8,000 of Better Auth's session tokens, at 1.9 kB each."""
_ENTRY_BYTES: Final = 606
"""The size of an entry without its strings, sets and claims. Measured: 536 to 656, depending on how
full the table of the `OrderedDict` is."""
_CONTAINERS: Final = frozenset({dict, list})
_SHARED: Final = frozenset(SHARED_NAMES)


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A verified token, and the key that it was verified with.

    The key is held by name: each refresh creates new keys, and entries would keep the old ones.
    """

    token: AccessToken
    algorithm: str
    thumbprint: str

    def is_of(self, key: VerificationKey | None) -> bool:
        """Return whether `key` is the key that the token was verified with."""
        return (
            key is not None
            and key.thumbprint == self.thumbprint
            and key.algorithm == self.algorithm
        )


@dataclass(slots=True)
class CacheCounters:
    """How often a token was in the cache, and how often not."""

    hits: int = 0
    misses: int = 0


class VerifiedTokenCache:
    """Keeps the most recently used tokens in at most `max_bytes` of memory; 0 disables the cache.

    The size of an entry is that of its Python objects, within a few percent: neither the number of
    tokens nor their length would limit the memory. Small numbers, true, false and null are counted
    although Python holds each of them once.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[bytes, tuple[VerifiedToken, int]] = OrderedDict()
        self.counters = CacheCounters()

    @staticmethod
    def key_of(token: str) -> bytes:
        """Return the hash of the whole token, so that any change makes another entry."""
        return sha256(token.encode("utf-8", "surrogatepass")).digest()

    def get(self, key: bytes) -> VerifiedToken | None:
        """Return the entry, if there is one, and count the hit or miss."""
        found = self._entries.get(key)
        if found is None:
            self.counters.misses += 1
            return None
        self.counters.hits += 1
        self._entries.move_to_end(key)
        return found[0]

    def __contains__(self, key: bytes) -> bool:
        """Return whether there is an entry, without counting a hit or miss."""
        return key in self._entries

    def put(self, key: bytes, verified: VerifiedToken) -> None:
        """Add an entry, and remove the least recently used ones if needed."""
        self.drop(key)
        size = _size_of(verified.token)
        if size > self._max_bytes:
            return
        while self._bytes + size > self._max_bytes:
            _, (_, freed) = self._entries.popitem(last=False)
            self._bytes -= freed
        self._entries[key] = verified, size
        self._bytes += size

    def drop(self, key: bytes) -> None:
        """Remove an entry, if there is one."""
        _, size = self._entries.pop(key, (None, 0))
        self._bytes -= size

    def __len__(self) -> int:
        return len(self._entries)


def _size_of(token: AccessToken) -> int:
    """Return the size of a token's entry in bytes.

    What entries share is not counted: the key's thumbprint, and the names of common claims.
    """
    size = _ENTRY_BYTES + getsizeof(token.key_id) + getsizeof(token.audiences)
    if token.scopes is not None:
        size += getsizeof(token.scopes) + sum(map(getsizeof, token.scopes))
    # getsizeof of the read-only view is that of the view. A copy is cheaper than a new dict.
    view = token.claims
    claims = view.copy() if isinstance(view, MappingProxyType) else dict(view)
    return size + getsizeof(claims) + _size_within(claims)


def _size_within(claims: dict[str, object]) -> int:
    """Return the size of the claims' contents in bytes, at any depth."""
    size = 0
    containers: list[Any] = [claims]  # JSON objects and arrays
    while containers:
        container = containers.pop()
        if isinstance(container, dict):
            if not _SHARED.issuperset(container):
                size += sum(map(getsizeof, container.keys() - _SHARED))
            values: Collection[object] = container.values()
        else:
            values = container
        size += sum(map(getsizeof, values))
        if not _CONTAINERS.isdisjoint(map(type, values)):
            containers += [value for value in values if type(value) in _CONTAINERS]
    return size
