"""`RotationPolicy`: the times of a rotation, checked so that users are not locked out."""

from dataclasses import dataclass
from datetime import timedelta

from better_auth_keys.tokens.jwk import ALGORITHMS, canonical_algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPolicy:
    """When keys are published, activated, retired and pruned.

    `algorithms` are rotated separately. `pinned` are the kids that the issuer's configuration
    names: it signs certain tokens with such a key whatever key is active, and fails if the key is
    retired or gone.

    `grace_period` is Better Auth's `jwks.gracePeriod`, how long it serves a retired key. It is not
    in Better Auth's table, so it has to be given. `keep_verifying` is how long a retired key is
    needed: at least the lifetime of a token and the leeway of the replicas.

    Raises `ValueError` for a policy that would lock users out.
    """

    grace_period: timedelta
    algorithms: tuple[str, ...] = ("EdDSA",)
    pinned: frozenset[str] = frozenset()
    publish_ahead: timedelta = timedelta(minutes=15)
    sign_for: timedelta = timedelta(days=30)
    keep_verifying: timedelta = timedelta(hours=1)
    prune_after: timedelta = timedelta(days=1)
    """How long the row of a key is kept after its tokens have expired."""
    learning_time: timedelta = timedelta(minutes=5)
    """The longest time until a replica knows a new key: it refreshes every five minutes."""
    token_lifetime: timedelta = timedelta(minutes=15)
    leeway: timedelta = timedelta(minutes=1)

    def __post_init__(self) -> None:
        object.__setattr__(self, "algorithms", signing_algorithms(self.algorithms))
        if min(self.grace_period, self.prune_after) < timedelta(0):
            raise ValueError("grace-period and prune-after must not be negative")
        if min(self.learning_time, self.token_lifetime) <= timedelta(0):
            raise ValueError("learning-time and token-lifetime must be positive")
        if self.publish_ahead < self.learning_time:
            raise ValueError(
                f"publish-ahead must be at least {self.learning_time}: a replica may take so long"
                " to know a new key"
            )
        if self.sign_for <= self.publish_ahead:
            raise ValueError("sign-for must be longer than publish-ahead")
        if self.keep_verifying < self.token_lifetime + self.leeway:
            raise ValueError(
                f"keep-verifying must be at least {self.token_lifetime + self.leeway}:"
                " the lifetime of a token and the leeway of the replicas"
            )


def signing_algorithms(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return algorithms as keys name them. Raises `ValueError` for unknown or repeated ones."""
    found = tuple(canonical_algorithm(name) for name in names)
    if not found or not set(found) <= ALGORITHMS.keys():
        raise ValueError(f"the algorithm must be among {', '.join(ALGORITHMS)} (or Ed25519)")
    if len(set(found)) < len(found):
        raise ValueError("an algorithm is listed twice")
    return found
