"""Tokens verified before: a bounded memory of them, kept under a hash of the whole token.

It saves the cryptography and nothing else. The verifier asks on every hit whether the token's times
still hold and whether its key is still the issuer's; refusals are never kept.
"""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from sys import getsizeof
from typing import Any, Final

from better_auth_keys.tokens.claims import AccessToken
from better_auth_keys.tokens.compact import SHARED_NAMES
from better_auth_keys.tokens.jwk import VerificationKey

DEFAULT_MAX_BYTES: Final = 16_000_000
"""Room for about 8,000 of Better Auth's session tokens, at 1.9 kB each."""
_ENTRY_BYTES: Final = 590
"""What an entry takes without its strings, sets and claims. Measured: 520 to 640, by how full the
table of the `OrderedDict` is."""
_CONTAINERS: Final = frozenset({dict, list})


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """What a token was found to be, and which key its signature was made with.

    The key is named and not held: each refresh makes new ones, and the old would stay for as long.
    """

    token: AccessToken
    algorithm: str
    thumbprint: str

    def is_of(self, key: VerificationKey | None) -> bool:
        """Check whether `key`, found under the token's kid, is the one it was verified with."""
        return (
            key is not None
            and key.thumbprint == self.thumbprint
            and key.algorithm == self.algorithm
        )


@dataclass(slots=True)
class CacheCounters:
    """How often the cache had the answer, and how often not."""

    hits: int = 0
    misses: int = 0


class VerifiedTokenCache:
    """Keeps the most recently used tokens in at most `max_bytes` of memory; 0 keeps none.

    Each entry is charged what its Python objects take, within a few percent: neither the number
    of tokens nor their length would bound that. Small numbers, true, false and null are charged
    although Python holds each of them once.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[bytes, tuple[VerifiedToken, int]] = OrderedDict()
        self.counters = CacheCounters()

    @staticmethod
    def key_of(token: str) -> bytes:
        """Hash the whole token: two that differ in one character are two entries."""
        return sha256(token.encode("utf-8", "surrogatepass")).digest()

    def get(self, key: bytes) -> VerifiedToken | None:
        """Give the entry, and count whether there was one."""
        found = self._entries.get(key)
        if found is None:
            self.counters.misses += 1
            return None
        self.counters.hits += 1
        self._entries.move_to_end(key)
        return found[0]

    def put(self, key: bytes, verified: VerifiedToken) -> None:
        """Keep an entry; those that were not used for longest make room."""
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
        """Forget an entry."""
        _, size = self._entries.pop(key, (None, 0))
        self._bytes -= size

    def __len__(self) -> int:
        return len(self._entries)


def _size_of(token: AccessToken) -> int:
    """Return the bytes that the entry of a token takes.

    What it shares with others is not counted: the key's thumbprint, and the names of usual claims.
    """
    size = _ENTRY_BYTES + getsizeof(token.key_id) + getsizeof(token.audiences)
    if token.scopes is not None:
        size += getsizeof(token.scopes) + sum(map(getsizeof, token.scopes))
    claims = dict(token.claims)  # of a read-only view only the view's own size can be had
    return size + getsizeof(claims) + _size_within(claims)


def _size_within(claims: dict[str, object]) -> int:
    """Return the bytes of all that is in the claims, at any depth."""
    size = 0
    containers: list[Any] = [claims]  # JSON objects and arrays
    while containers:
        container = containers.pop()
        if isinstance(container, dict):
            size += sum([getsizeof(name) for name in container if name not in SHARED_NAMES])
            values: Collection[object] = container.values()
        else:
            values = container
        size += sum(map(getsizeof, values))
        containers += [value for value in values if type(value) in _CONTAINERS]
    return size
