"""The DPoP proofs that were used already, so that each is accepted once (RFC 9449 section 11.1).

A proof is remembered until it would be refused for its age. `UsedProofs` holds them in the memory
of one process: with several processes, a stolen proof can be used once in each of them, for the
same request and until it is too old. Pass a `ProofMemory` of your own to share the proofs.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import time
from typing import Final, Protocol

from better_auth_keys.errors import TooManyDpopProofsError

DEFAULT_MAX_PROOFS: Final = 200_000
"""Enough for 2,800 proofs a second that are accepted for 70 seconds. Measured: 27 MB, at 135 bytes
for each proof, and 40 MB if each has a key of its own."""
LARGEST_SHARE: Final = 0.25
"""How much of the memory the proofs of one key may use."""
_PERIOD: Final = 30.0  # seconds; all proofs of a period are forgotten at once


class ProofMemory(Protocol):
    """Remembers the proofs that were used."""

    async def add(self, thumbprint: str, jti: str, expires_at: float) -> bool:
        """Remember a proof; return False if it was used before.

        A proof is identified by the thumbprint of its key and its `jti`. It can be forgotten at
        `expires_at` (Unix seconds). Checking and adding must be one step. Raises
        `TooManyDpopProofsError` if the proof cannot be remembered: it must not be accepted then.
        """
        ...


@dataclass(slots=True)
class _Period:
    """The proofs that expire in one period: their hashes, and how many each key has."""

    proofs: set[int] = field(default_factory=set)
    by_key: dict[int, int] = field(default_factory=dict)


class UsedProofs:
    """Remembers proofs in this process: at most `max_proofs`, and a quarter of them for one key.

    A proof beyond these bounds is refused, because it could be replayed if it were not remembered.
    The bound of each key keeps one client from filling the memory of all others.

    Proofs are held as 64-bit hashes with this process's random seed. Two that collide cost one
    refusal. All steps take constant time.
    """

    def __init__(
        self, *, max_proofs: int = DEFAULT_MAX_PROOFS, now: Callable[[], float] = time
    ) -> None:
        if max_proofs < 1:
            raise ValueError("max_proofs must be at least 1")
        self._max_proofs = max_proofs
        self._max_of_key = max(1, int(max_proofs * LARGEST_SHARE))
        self._now = now
        # By number: period n ends at (n + 1) * _PERIOD, in Unix seconds.
        self._periods: dict[int, _Period] = {}
        self._forgotten = -1
        self._count = 0

    def __len__(self) -> int:
        return self._count

    async def add(self, thumbprint: str, jti: str, expires_at: float) -> bool:
        """Remember a proof; return False if it was used before, or may have been.

        Raises `TooManyDpopProofsError` if the memory, or the share of this key, is full.
        """
        now = self._now()
        self._forget(now)
        number = int(expires_at // _PERIOD)
        if number <= self._forgotten:
            # The clock went back, so the proof may be one of those that were forgotten.
            return False
        proof, key = hash((thumbprint, jti)), hash(thumbprint)
        of_key = 0
        for period in self._periods.values():
            if proof in period.proofs:
                return False
            of_key += period.by_key.get(key, 0)
        if self._count >= self._max_proofs or of_key >= self._max_of_key:
            raise TooManyDpopProofsError(retry_after=(min(self._periods) + 1) * _PERIOD - now)
        period = self._periods.setdefault(number, _Period())
        period.proofs.add(proof)
        period.by_key[key] = period.by_key.get(key, 0) + 1
        self._count += 1
        return True

    def _forget(self, now: float) -> None:
        """Forget the periods that have ended. There are only a few at a time."""
        for number in [number for number in self._periods if (number + 1) * _PERIOD <= now]:
            self._count -= len(self._periods.pop(number).proofs)
            self._forgotten = max(self._forgotten, number)
