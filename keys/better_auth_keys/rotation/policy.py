"""When keys come and go: what an operator decides, checked against what would lock users out."""

from dataclasses import dataclass
from datetime import timedelta

from better_auth_keys.tokens.jwk import ALGORITHMS, canonical_algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPolicy:
    """When keys come and go.

    `algorithms` are the ones that are kept rotated, each by itself. `pinned` are the kids that the
    issuer's configuration names: a pin asks for that one key, whatever else signs, and fails once
    the key is retired or gone.

    `grace_period` is Better Auth's `jwks.gracePeriod`: for how long it serves a retired key. It
    cannot be read from its table, so it must be said. `keep_verifying` is ours: for how long a
    retired key is needed, at least the lifetime of a token and the leeway of its verifiers.

    Raises `ValueError` for a policy that would lock users out.
    """

    grace_period: timedelta
    algorithms: tuple[str, ...] = ("EdDSA",)
    pinned: frozenset[str] = frozenset()
    publish_ahead: timedelta = timedelta(minutes=15)
    sign_for: timedelta = timedelta(days=30)
    keep_verifying: timedelta = timedelta(hours=1)
    prune_after: timedelta = timedelta(days=1)
    """For how long the row of a key that nobody needs is kept."""
    learning_time: timedelta = timedelta(minutes=5)
    """The longest time that a verifier takes to learn a key: ours refreshes every five minutes."""
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
                f"publish-ahead must be at least {self.learning_time}: verifiers learn keys so late"
            )
        if self.sign_for <= self.publish_ahead:
            raise ValueError("sign-for must be longer than publish-ahead")
        if self.keep_verifying < self.token_lifetime + self.leeway:
            raise ValueError(
                f"keep-verifying must be at least {self.token_lifetime + self.leeway}:"
                " tokens live so long, and verifiers allow a leeway"
            )


def signing_algorithms(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return algorithms by the names that keys carry. Raises `ValueError` for what is no list."""
    found = tuple(canonical_algorithm(name) for name in names)
    if not found or not set(found) <= ALGORITHMS.keys():
        raise ValueError(f"the algorithm must be among {', '.join(ALGORITHMS)} (or Ed25519)")
    if len(set(found)) < len(found):
        raise ValueError("an algorithm is listed twice")
    return found
