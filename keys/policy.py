"""What a token must be to count: `VerificationPolicy`."""

from dataclasses import dataclass
from typing import Literal

from keys.jwk import ALGORITHMS, canonical_algorithm

Profile = Literal["better-auth", "rfc9068"]


@dataclass(frozen=True, slots=True)
class VerificationPolicy:
    """What a token must be to count. Times are in seconds.

    `issuers` are the names of ONE issuer: Better Auth calls itself `<origin>` in session tokens and
    `<origin>/api/auth` in OAuth ones, with one key set behind both.

    Raises `ValueError` where a policy would let everything or nothing pass.
    """

    issuers: frozenset[str]
    audiences: frozenset[str]
    algorithms: frozenset[str] = frozenset({"EdDSA", "RS256"})
    profile: Profile = "better-auth"
    leeway: float = 10
    max_lifetime: float = 24 * 3600
    max_token_characters: int = 16_384

    def __post_init__(self) -> None:
        if not all(self.issuers) or not self.issuers:
            raise ValueError("a policy needs the issuer's name")
        if not all(self.audiences) or not self.audiences:
            raise ValueError("a policy needs the audience that tokens are for")
        canonical = frozenset(canonical_algorithm(name) for name in self.algorithms)
        if not canonical or not canonical <= ALGORITHMS.keys():
            raise ValueError(f"algorithms must be among {', '.join(ALGORITHMS)} (or Ed25519)")
        # EdDSA and Ed25519 are one algorithm: either name, when configured, takes both.
        object.__setattr__(self, "algorithms", canonical)
        if not 0 <= self.leeway <= 300:  # noqa: PLR2004 - five minutes hide a broken clock, not skew
            raise ValueError("leeway must be between 0 and 300 seconds")
        if not self.max_lifetime > 0:
            raise ValueError("the maximum lifetime must be positive")
