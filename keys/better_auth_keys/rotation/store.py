"""The issuer's signing keys as a rotation sees them, and what a store of them can do.

A store is changed through a `KeyRing`, which one operator at a time holds: what is done in one
`changing` block is done all at once or not at all. Each verb is refused for a key that is not there
(`UnknownKeyError`), and each that finds its work done already changes nothing and says so: two
operators at once are one operator and one who is told "already done".

    publish   a new key, served and not signing             -> pre-activation
    activate  the key that signs from now on                -> active; the one before: deactivated
    retire    a key that signs no more                      -> served until nobody needs it
    prune     a key that nobody needs any more              -> destroyed
    revoke    a key that must not be trusted any more       -> destroyed, and remembered

Each algorithm has its own active key, and its own keys before and after it: a step for a key of one
algorithm leaves the keys of every other as they are. `retire_algorithm` ends an algorithm as a
whole. Which of the active keys signs by default is the issuer's configuration.

A revoked key that is in the store all the same (somebody restored a backup) is `compromised`.
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
    """The states of a signing key, in the words of NIST SP 800-57 part 1, section 7.

    A destroyed key is in no store any more, so it has no state here.
    """

    PRE_ACTIVATION = "pre-activation"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    COMPROMISED = "compromised"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One key, without its private part. Moments are in UTC."""

    kid: str
    algorithm: str
    published_at: datetime
    activated_at: datetime | None = None
    superseded_at: datetime | None = None
    retired_at: datetime | None = None
    """From then on the issuer cannot sign with it; it serves it for its grace period longer."""
    signs_until: datetime | None = None
    """Where the issuer stops signing with it by itself, and makes a key that nobody knows."""
    compromised: bool = False
    usable: bool = True
    """Whether its private part can be read with the issuer's present secret."""
    dormant: bool = False
    """Whether it waits as a key that has expired: served for the grace period only, and signing
    under no configuration of the issuer until it is activated."""

    @property
    def signs(self) -> bool:
        """Whether the issuer signs with it now, for those who ask for its algorithm."""
        return (
            self.activated_at is not None and self.superseded_at is None and self.retired_at is None
        )

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
    """The step would take away the key that signs, or have one sign that cannot."""

    code = "key_in_use"


class KeyStoreError(SigningKeyError):
    """The store cannot be used. The message is one line without secrets; nothing was changed."""

    code = "key_store"


class KeyRing(Protocol):
    """The keys of a store while nobody else changes them. `False` from a verb: done already."""

    async def now(self) -> datetime:
        """Give the store's own time."""
        ...

    async def keys(self) -> list[SigningKey]:
        """Give every key that is not destroyed, the oldest first."""
        ...

    async def publish(self, signer: Signer) -> bool:
        """Add a key that is served and does not sign. Where no key signs at all, it does.

        Raises `KeyInUseError` for a kid that was revoked.
        """
        ...

    async def activate(self, kid: str) -> bool:
        """Make the key the active one of its algorithm.

        Raises `UnknownKeyError`; `KeyInUseError` for a key that signed before, or cannot be read.
        """
        ...

    async def retire(self, kid: str) -> bool:
        """Have a key sign no more, and leave the served keys after the issuer's grace period.

        Raises `UnknownKeyError`; `KeyInUseError` for the active key of an algorithm.
        """
        ...

    async def retire_algorithm(self, algorithm: str) -> list[str]:
        """Retire every key of an algorithm, the active one included; return their kids.

        An empty list means that it was done already. Raises `KeyInUseError` where no other
        algorithm has an active key.
        """
        ...

    async def prune(self, kid: str) -> bool:
        """Destroy a key. One that is not there has been pruned already.

        Raises `KeyInUseError` for the key that signs, and for one that waits to.
        """
        ...

    async def revoke(self, kid: str) -> bool:
        """Destroy a key and have every verifier refuse it, known to the store or not.

        Raises `KeyInUseError` for the key that signs: activate another first.
        """
        ...


class SigningKeyStore(Protocol):
    """Where an issuer's signing keys are kept."""

    async def keys(self) -> list[SigningKey]:
        """Give every key that is not destroyed, the oldest first. Raises `KeyStoreError`."""
        ...

    def changing(
        self, reason: str, *, execute: bool = True
    ) -> AbstractAsyncContextManager[KeyRing]:
        """Lock the keys for a change. `reason` is recorded with it.

        The change is rolled back if the block raises, and in a preview (`execute=False`). Raises
        `KeyStoreError`.
        """
        ...


def active_keys(keys: Iterable[SigningKey]) -> dict[str, SigningKey]:
    """Return the active key of each algorithm that has one."""
    return {key.algorithm: key for key in keys if key.state is KeyState.ACTIVE}
