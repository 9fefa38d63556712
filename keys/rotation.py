"""What is due in a rotation: a pure function of the keys, the policy and the moment.

The rules, in order:

1. Nothing signs before it has been served for `publish_ahead`: every verifier knows it by then.
2. A key is published `publish_ahead` before the active one has signed for `sign_for`, and activated
   when it has. A key of another algorithm than the policy's has signed for long enough already.
3. A key that was superseded is retired at once; its tokens verify for `keep_verifying` longer.
4. A retired key is pruned when its last tokens have expired; a revoked one at once.

No step here reads or writes anything. Whoever carries one out asks again under a lock.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from keys.errors import KeysError
from keys.jwk import ALGORITHMS, canonical_algorithm
from keys.signing_keys import KeyState, SigningKey

MAX_KEYS: Final = 80
"""Better Auth reads 100 rows of its table and no more; the newest key may then be none of them."""

Verb = Literal["publish", "activate", "retire", "prune"]


class RotationRefusedError(KeysError):
    """The step would lock users out. The message says what to do instead."""

    code = "rotation_refused"


@dataclass(frozen=True, slots=True)
class RotationPolicy:
    """When keys come and go.

    `publish_ahead` is at least the longest time that a verifier takes to learn a key;
    `keep_verifying` at least the lifetime of a token and the leeway of its verifiers. That is not
    Better Auth's `gracePeriod`, which says for how long a retired key is served.

    Raises `ValueError` for a policy that would lock users out.
    """

    algorithm: str = "EdDSA"
    publish_ahead: timedelta = timedelta(minutes=15)
    sign_for: timedelta = timedelta(days=30)
    keep_verifying: timedelta = timedelta(hours=1)
    learning_time: timedelta = timedelta(minutes=5)
    """The longest time that a verifier takes to learn a key: ours refreshes every five minutes."""

    def __post_init__(self) -> None:
        canonical = canonical_algorithm(self.algorithm)
        if canonical not in ALGORITHMS:
            raise ValueError(f"the algorithm must be among {', '.join(ALGORITHMS)} (or Ed25519)")
        object.__setattr__(self, "algorithm", canonical)
        if self.publish_ahead < self.learning_time:
            raise ValueError(
                f"publish-ahead must be at least {self.learning_time}: verifiers learn keys so late"
            )
        if self.sign_for <= self.publish_ahead:
            raise ValueError("sign-for must be longer than publish-ahead")
        if self.keep_verifying <= timedelta(0):
            raise ValueError("keep-verifying must be positive")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, and from when on. A key that is to be made has no kid yet."""

    verb: Verb
    kid: str | None
    due_at: datetime
    reason: str


def plan(keys: Collection[SigningKey], policy: RotationPolicy, now: datetime) -> list[Step]:
    """Give the next step of the rotation and of each key that has one, the earliest first.

    Raises `RotationRefusedError` where there is no key to begin with.
    """
    active = _active(keys)
    if active is None:
        raise RotationRefusedError("no key signs: let the issuer make its first one, then rotate")
    steps = [_succession(active, keys, policy, now)]
    for key in keys:
        if key.state is KeyState.COMPROMISED:
            steps.append(Step("prune", key.kid, now, "it was revoked"))
        elif key.retired_at is not None:
            steps.append(
                Step("prune", key.kid, safe_to_remove_at(key, policy), "its tokens have expired")
            )
        elif key.superseded_at is not None:
            steps.append(Step("retire", key.kid, key.superseded_at, "another key signs"))
    return sorted(steps, key=lambda step: (step.due_at, step.verb, step.kid or ""))


def safe_to_remove_at(key: SigningKey, policy: RotationPolicy) -> datetime:
    """Tell from when on no good token needs a retired key. Raises `ValueError` for any other."""
    if key.retired_at is None:
        raise ValueError(f"key {key.kid} is not retired")
    last_signed = min(key.superseded_at or key.retired_at, key.retired_at)
    return last_signed + policy.keep_verifying


def refuse_lock_out(
    step: Step, keys: Collection[SigningKey], policy: RotationPolicy, now: datetime
) -> None:
    """Raise `RotationRefusedError` if the step, done now, would lock users out."""
    key = next((key for key in keys if key.kid == step.kid), None)
    if step.verb == "publish":
        if len(keys) >= MAX_KEYS:
            raise RotationRefusedError(
                f"there are {len(keys)} keys, and Better Auth reads 100 at most: prune first"
            )
        return
    if key is None:
        raise RotationRefusedError(f"there is no key {step.kid}")
    if step.verb == "activate":
        known_at = key.published_at + policy.publish_ahead
        if key.state is KeyState.PRE_ACTIVATION and now < known_at:
            raise RotationRefusedError(
                f"key {key.kid} was published {now - key.published_at} ago, and not every verifier"
                f" knows it yet: wait until {known_at.isoformat(timespec='seconds')}"
            )
    elif step.verb == "retire":
        if key.state is KeyState.ACTIVE:
            raise RotationRefusedError(f"key {key.kid} signs: activate another first")
    elif key.retired_at is not None and now < safe_to_remove_at(key, policy):
        raise RotationRefusedError(
            f"tokens of key {key.kid} may be good until"
            f" {safe_to_remove_at(key, policy).isoformat(timespec='seconds')}"
        )


def _succession(
    active: SigningKey, keys: Collection[SigningKey], policy: RotationPolicy, now: datetime
) -> Step:
    """Give the step that comes next on the way to the next active key."""
    if active.algorithm == policy.algorithm:
        signs_until = (active.activated_at or active.published_at) + policy.sign_for
        reason = f"key {active.kid} has signed for {policy.sign_for.days} days"
    else:
        signs_until = now
        reason = f"key {active.kid} signs {active.algorithm}, not {policy.algorithm}"
    waiting = [
        key
        for key in keys
        if key.state is KeyState.PRE_ACTIVATION and key.algorithm == policy.algorithm
    ]
    if not waiting:
        return Step("publish", None, max(signs_until - policy.publish_ahead, now), reason)
    # The one that has been known for longest.
    standby = min(waiting, key=lambda key: (key.published_at, key.kid))
    return Step(
        "activate",
        standby.kid,
        max(signs_until, standby.published_at + policy.publish_ahead),
        reason,
    )


def _active(keys: Collection[SigningKey]) -> SigningKey | None:
    return next((key for key in keys if key.state is KeyState.ACTIVE), None)
