"""Signing keys, their states, and the protocol of a store that holds them.

A store is changed in a `KeyTransaction`, one at a time: all changes of one `changing` block are
made, or none. A step on a key that is not in the store raises `UnknownKeyError`. A step that has
been done already changes nothing and returns False, so two operators can run the same command.

    publish   a new key that is served but does not sign    -> pre-activation
    activate  the key that signs from now on                -> active; the one before: deactivated
    retire    a key that no longer signs                    -> deactivated, served for a while
    prune     a key that no valid token needs               -> destroyed
    revoke    a key that must not be trusted any more       -> destroyed, and its kid refused

Each algorithm has its own active key: a step on a key of one algorithm does not change keys of
another. `retire_algorithm` ends an algorithm as a whole. The issuer's configuration decides which
of the active keys signs by default.

A revoked key that is in the store again (after a backup was restored) is `compromised`.
"""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from better_auth_keys.errors import SigningKeyError
from better_auth_keys.tokens.signer import Signer


class KeyState(StrEnum):
    """The states of a signing key (NIST SP 800-57 part 1, section 7).

    A destroyed key is not in the store, so it has no state here.
    """

    PRE_ACTIVATION = "pre-activation"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    COMPROMISED = "compromised"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key, without its private part. Times are in UTC."""

    kid: str
    algorithm: str
    published_at: datetime
    activated_at: datetime | None = None
    superseded_at: datetime | None = None
    retired_at: datetime | None = None
    """Since then the issuer cannot sign with it; it serves it for its grace period."""
    signs_until: datetime | None = None
    """When the issuer stops signing with it by itself, and creates a key that no replica knows."""
    compromised: bool = False
    usable: bool = True
    """Whether its private part can be read with the issuer's current secret."""
    dormant: bool = False
    """Whether it waits to sign as an expired row: it is served only for the grace period, and the
    issuer cannot sign with it until it is activated."""

    @property
    def signs(self) -> bool:
        """Whether the issuer signs with it now when its algorithm is requested."""
        return (
            self.activated_at is not None and self.superseded_at is None and self.retired_at is None
        )

    @property
    def state(self) -> KeyState:
        """The state of the key."""
        if self.compromised:
            return KeyState.COMPROMISED
        if self.superseded_at is not None or self.retired_at is not None:
            return KeyState.DEACTIVATED
        return KeyState.PRE_ACTIVATION if self.activated_at is None else KeyState.ACTIVE


@dataclass(frozen=True, slots=True)
class RevokedKey:
    """A kid that every replica refuses. A store that does not record times has no `revoked_at`."""

    kid: str
    revoked_at: datetime | None = None


class UnknownKeyError(SigningKeyError):
    """There is no key with this kid."""

    code = "unknown_key"

    def __init__(self, kid: str) -> None:
        super().__init__(f"there is no key {kid}")


class KeyInUseError(SigningKeyError):
    """The step would remove the key that signs, or activate a key that cannot sign."""

    code = "key_in_use"


class KeyStoreError(SigningKeyError):
    """The store cannot be used; nothing was changed. The message is one line without secrets."""

    code = "key_store"


class KeyTransaction(Protocol):
    """A transaction on the keys of a store: no other transaction changes them at the same time.

    A step returns False if it has been done already.
    """

    async def now(self) -> datetime:
        """Return the time of the store's clock."""
        ...

    async def keys(self) -> list[SigningKey]:
        """Return all keys that are not destroyed, oldest first."""
        ...

    async def revoked_keys(self) -> list[RevokedKey]:
        """Return all revoked keys, the latest first if the store records when."""
        ...

    async def publish(self, signer: Signer) -> bool:
        """Add a key that is served but does not sign. If no key signs yet, it signs.

        Raises `KeyInUseError` for a kid that was revoked.
        """
        ...

    async def activate(self, kid: str) -> bool:
        """Make the key the active one of its algorithm.

        Raises `UnknownKeyError`, or `KeyInUseError` for a key that has signed before or cannot be
        read.
        """
        ...

    async def retire(self, kid: str) -> bool:
        """Retire a key that no longer signs; it is served until the issuer's grace period ends.

        Raises `UnknownKeyError`, or `KeyInUseError` for the active key of an algorithm.
        """
        ...

    async def retire_algorithm(self, algorithm: str) -> list[str]:
        """Retire all keys of an algorithm, including the active one, and return their kids.

        An empty list means that it has been done already. Raises `KeyInUseError` if no other
        algorithm has an active key.
        """
        ...

    async def prune(self, kid: str) -> bool:
        """Destroy a key. A key that is not in the store has been pruned already.

        Raises `KeyInUseError` for a key that signs or waits to sign.
        """
        ...

    async def revoke(self, kid: str) -> bool:
        """Destroy a key, and make every replica refuse it, even if it is not in the store.

        Raises `KeyInUseError` for the key that signs: activate another first.
        """
        ...


class SigningKeyStore(Protocol):
    """A store of an issuer's signing keys."""

    async def keys(self) -> list[SigningKey]:
        """Return all keys that are not destroyed, oldest first. Raises `KeyStoreError`."""
        ...

    def changing(
        self, reason: str, *, execute: bool = True
    ) -> AbstractAsyncContextManager[KeyTransaction]:
        """Begin a transaction; `reason` goes into the audit log.

        All changes are undone if the block raises an error, and in a preview (`execute=False`).
        Raises `KeyStoreError`.
        """
        ...


def active_keys(keys: Iterable[SigningKey]) -> dict[str, SigningKey]:
    """Return the active key of each algorithm that has one."""
    return {key.algorithm: key for key in keys if key.state is KeyState.ACTIVE}
