"""The issuer's signing keys as a rotation sees them, and the stores that hold them.

A store knows four verbs besides listing and publishing. Each is one atomic step, each is refused
for a key that is not there (`UnknownKeyError`), and each that finds its work done already changes
nothing and says so: two operators at once are one operator and one who is told "already done".

    publish   a new key, served and not signing             -> pre-activation
    activate  the key that signs from now on                -> active; the one before: deactivated
    retire    a key that signs no more                      -> served until nobody needs it
    revoke    a key that must not be trusted any more       -> compromised: gone at once
    prune     a retired key that nobody needs any more      -> destroyed
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Protocol

from keys.errors import SigningKeyError
from keys.signer import Signer


class KeyState(StrEnum):
    """The states of a signing key, in the words of NIST SP 800-57 part 1, section 7."""

    PRE_ACTIVATION = "pre-activation"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    COMPROMISED = "compromised"
    DESTROYED = "destroyed"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key, without its private part. Moments are in UTC.

    `retired_at` is the moment from which it may be taken out of the served keys; `compromised` says
    that it was revoked.
    """

    kid: str
    algorithm: str
    published_at: datetime
    activated_at: datetime | None = None
    superseded_at: datetime | None = None
    retired_at: datetime | None = None
    compromised: bool = False

    @property
    def state(self) -> KeyState:
        """Tell where in its life the key is."""
        if self.compromised:
            return KeyState.COMPROMISED
        if self.superseded_at is not None or self.retired_at is not None:
            return KeyState.DEACTIVATED
        return KeyState.PRE_ACTIVATION if self.activated_at is None else KeyState.ACTIVE


class UnknownKeyError(SigningKeyError):
    """There is no such key."""

    code = "unknown_key"

    def __init__(self, kid: str) -> None:
        super().__init__(f"there is no key {kid}")


class KeyInUseError(SigningKeyError):
    """The step would take away the key that signs, or one that is still needed."""

    code = "key_in_use"


class SigningKeyStore(Protocol):
    """Where an issuer's signing keys are kept. `True` from a verb: done; `False`: already done."""

    async def keys(self) -> list[SigningKey]:
        """Give every key that is not destroyed, the oldest first."""
        ...

    async def publish(self, signer: Signer) -> bool:
        """Add a key that is served and does not sign. Where there is none yet, it signs."""
        ...

    async def activate(self, kid: str) -> bool:
        """Have the key sign from now on.

        Raises `UnknownKeyError`; `KeyInUseError` for a key that was taken out of use before.
        """
        ...

    async def retire(self, kid: str) -> bool:
        """Have a key that signs no more leave the served keys once its tokens have expired.

        Raises `UnknownKeyError`; `KeyInUseError` for the key that signs.
        """
        ...

    async def revoke(self, kid: str) -> bool:
        """Take a key out of the served keys at once.

        Raises `UnknownKeyError`; `KeyInUseError` where nothing else could sign: activate another
        key first.
        """
        ...

    async def prune(self, kid: str) -> bool:
        """Destroy a retired or revoked key.

        Raises `KeyInUseError` for any other. A key that is not there has been pruned already.
        """
        ...


def _now() -> datetime:
    return datetime.now(UTC)


class InMemorySigningKeys:
    """A store for development and tests: what it holds is gone with the process."""

    def __init__(self, *, now: Callable[[], datetime] = _now) -> None:
        self._now = now
        self._keys: dict[str, SigningKey] = {}
        self._signers: dict[str, Signer] = {}
        self._lock = asyncio.Lock()

    async def keys(self) -> list[SigningKey]:
        """Give every key that is not destroyed, the oldest first."""
        return sorted(self._keys.values(), key=lambda key: (key.published_at, key.kid))

    def signer(self) -> Signer | None:
        """Give the key that signs."""
        active = self._active()
        return None if active is None else self._signers[active.kid]

    def served(self) -> list[Signer]:
        """Give the keys that are published: all but those revoked."""
        return [self._signers[key.kid] for key in self._keys.values() if not key.compromised]

    async def publish(self, signer: Signer) -> bool:
        """Add a key that is served and does not sign. Where there is none yet, it signs."""
        async with self._lock:
            if signer.kid in self._keys:
                return False
            now = self._now()
            first = self._active() is None
            self._signers[signer.kid] = signer
            self._keys[signer.kid] = SigningKey(
                signer.kid, signer.algorithm, now, activated_at=now if first else None
            )
            return True

    async def activate(self, kid: str) -> bool:
        """Have the key sign from now on."""
        async with self._lock:
            key, active, now = self._get(kid), self._active(), self._now()
            if key.state is KeyState.ACTIVE:
                return False
            if key.state is not KeyState.PRE_ACTIVATION:
                raise KeyInUseError(f"key {kid} is {key.state}; publish another")
            if active is not None:
                self._keys[active.kid] = replace(active, superseded_at=now)
            self._keys[kid] = replace(key, activated_at=now)
            return True

    async def retire(self, kid: str) -> bool:
        """Have a key that signs no more leave the served keys once its tokens have expired."""
        async with self._lock:
            key = self._get(kid)
            if key.state is KeyState.ACTIVE:
                raise KeyInUseError(f"key {kid} signs; activate another first")
            if key.retired_at is not None or key.compromised:
                return False
            self._keys[kid] = replace(key, retired_at=self._now())
            return True

    async def revoke(self, kid: str) -> bool:
        """Take a key out of the served keys at once."""
        async with self._lock:
            key = self._get(kid)
            if key.compromised:
                return False
            if key.state is KeyState.ACTIVE:
                raise KeyInUseError(f"key {kid} signs; activate another first")
            self._keys[kid] = replace(key, compromised=True)
            return True

    async def prune(self, kid: str) -> bool:
        """Destroy a retired or revoked key."""
        async with self._lock:
            key = self._keys.get(kid)
            if key is None:
                return False
            if key.retired_at is None and not key.compromised:
                raise KeyInUseError(f"key {kid} is {key.state}; retire it first")
            del self._keys[kid], self._signers[kid]
            return True

    def _active(self) -> SigningKey | None:
        return next((key for key in self._keys.values() if key.state is KeyState.ACTIVE), None)

    def _get(self, kid: str) -> SigningKey:
        try:
            return self._keys[kid]
        except KeyError:
            raise UnknownKeyError(kid) from None
