"""Signing keys in memory, without a Better Auth: for development and tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from better_auth_keys.rotation.store import (
    KeyInUseError,
    KeyState,
    RevokedKey,
    SigningKey,
    UnknownKeyError,
    active_keys,
)
from better_auth_keys.tokens.signer import Signer


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


@dataclass
class LocalKeys:
    """The contents of a local store, which are a `KeyTransaction` as well: a store changes a copy.

    `entries` has the key and its signer for each kid; `algorithm` is the default to sign with.
    """

    entries: dict[str, tuple[SigningKey, Signer]] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    clock: Callable[[], datetime] = utc_now
    algorithm: str = "EdDSA"

    def copy(self) -> "LocalKeys":
        """Return a copy that can be changed without changing this one."""
        return replace(self, entries={**self.entries}, revoked={*self.revoked})

    def listed(self) -> list[SigningKey]:
        """Return the keys, oldest first."""
        keys = (key for key, _ in self.entries.values())
        return sorted(keys, key=lambda key: (key.published_at, key.kid))

    def signer(self) -> Signer | None:
        """Return the default signer: of `algorithm` or, without an active key of it, the newest."""
        active = active_keys(self.listed())
        newest = max(
            active.values(), key=lambda key: key.activated_at or key.published_at, default=None
        )
        key = active.get(self.algorithm, newest)
        return None if key is None else self.entries[key.kid][1]

    def signer_of(self, algorithm: str) -> Signer | None:
        """Return the signer for an algorithm, or None if it has no active key."""
        key = active_keys(self.listed()).get(algorithm)
        return None if key is None else self.entries[key.kid][1]

    def served(self) -> list[Signer]:
        """Return the signers whose keys are published, oldest first."""
        return [self.entries[key.kid][1] for key in self.listed()]

    async def now(self) -> datetime:
        """Return the time of the store's clock."""
        return self.clock()

    async def keys(self) -> list[SigningKey]:
        """Return all keys that are not destroyed, oldest first."""
        return self.listed()

    async def revoked_keys(self) -> list[RevokedKey]:
        """Return all revoked keys, in the order of their kids."""
        return [RevokedKey(kid) for kid in sorted(self.revoked)]

    async def publish(self, signer: Signer) -> bool:
        """Add a key that is served but does not sign. If no key signs yet, it signs."""
        if signer.kid in self.revoked:
            raise KeyInUseError(f"key {signer.kid} was revoked")
        if signer.kid in self.entries:
            return False
        now = self.clock()
        first = not active_keys(self.listed())
        key = SigningKey(signer.kid, signer.algorithm, now, activated_at=now if first else None)
        self.entries[signer.kid] = key, signer
        return True

    async def activate(self, kid: str) -> bool:
        """Make the key the active one of its algorithm."""
        key, now = self._get(kid), self.clock()
        active = active_keys(self.listed()).get(key.algorithm)
        if key.state is KeyState.ACTIVE:
            return False
        if key.state is not KeyState.PRE_ACTIVATION:
            raise KeyInUseError(f"key {kid} is {key.state}: publish another")
        if active is not None:
            self._put(replace(active, superseded_at=now))
        self._put(replace(key, activated_at=now))
        return True

    async def retire(self, kid: str) -> bool:
        """Retire a key that no longer signs."""
        key = self._get(kid)
        if key.state is KeyState.ACTIVE:
            raise KeyInUseError(f"key {kid} signs: activate another first")
        if key.retired_at is not None:
            return False
        self._put(replace(key, retired_at=self.clock()))
        return True

    async def retire_algorithm(self, algorithm: str) -> list[str]:
        """Retire all keys of an algorithm, and return their kids."""
        keys, now = self.listed(), self.clock()
        if not active_keys(keys).keys() - {algorithm}:
            raise KeyInUseError(f"no key of another algorithm than {algorithm} signs")
        ending = [key for key in keys if key.algorithm == algorithm and key.retired_at is None]
        for key in ending:
            self._put(
                replace(key, superseded_at=now if key.signs else key.superseded_at, retired_at=now)
            )
        return [key.kid for key in ending]

    async def prune(self, kid: str) -> bool:
        """Destroy a key."""
        if kid not in self.entries:
            return False
        state = self._get(kid).state
        if state in {KeyState.ACTIVE, KeyState.PRE_ACTIVATION}:
            raise KeyInUseError(f"key {kid} is {state}: retire it first")
        del self.entries[kid]
        return True

    async def revoke(self, kid: str) -> bool:
        """Destroy a key, and refuse to publish its kid again."""
        if kid in self.revoked:
            return False
        if kid in self.entries and self._get(kid).state is KeyState.ACTIVE:
            raise KeyInUseError(f"key {kid} signs: activate another first")
        self.entries.pop(kid, None)
        self.revoked.add(kid)
        return True

    def _get(self, kid: str) -> SigningKey:
        try:
            return self.entries[kid][0]
        except KeyError:
            raise UnknownKeyError(kid) from None

    def _put(self, key: SigningKey) -> None:
        self.entries[key.kid] = key, self.entries[key.kid][1]


class InMemorySigningKeys:
    """A store of signing keys in the memory of this process."""

    def __init__(self, *, now: Callable[[], datetime] = utc_now, algorithm: str = "EdDSA") -> None:
        self.contents = LocalKeys(clock=now, algorithm=algorithm)
        self._lock = asyncio.Lock()

    async def keys(self) -> list[SigningKey]:
        """Return all keys that are not destroyed, oldest first."""
        return self.contents.listed()

    @asynccontextmanager
    async def changing(self, reason: str, *, execute: bool = True) -> AsyncIterator[LocalKeys]:
        """Begin a transaction: what was done is kept only if the block ends without an error."""
        del reason  # there is no audit log
        async with self._lock:
            transaction = self.contents.copy()
            yield transaction
            if execute:
                self.contents = transaction
