"""What is due in a rotation: a pure function of the keys, the policy and the moment.

The rules, in order:

1. Nothing signs before it has been served for `publish_ahead`: every verifier knows it by then.
2. A key is published `publish_ahead` before the active one has signed for `sign_for`, and activated
   when it has. A key of another algorithm than the policy's has signed for long enough already.
3. A key that was superseded is retired as soon as the issuer will serve it for as long as its
   tokens may live. Retired at T, it is needed until T + `keep_verifying`, and then pruned.
4. A revoked key that is in the store again is revoked again, at once.
5. Of more than 100 keys Better Auth reads an unknown hundred: nothing is done but to prune the
   oldest, which cannot be the one that signs.

No step here reads or writes anything. Whoever carries one out asks again under a lock.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from keys.errors import KeysError
from keys.jwk import ALGORITHMS, canonical_algorithm
from keys.signing_keys import KeyState, SigningKey, signing

MAX_KEYS: Final = 80
"""No key is published beyond these: what Better Auth does with its table ends at `READ_LIMIT`."""
READ_LIMIT: Final = 100
"""Better Auth reads so many rows of its table, in no order; the newest may be none of them."""

Verb = Literal["publish", "activate", "retire", "prune", "revoke"]


class RotationRefusedError(KeysError):
    """The step would lock users out. The message says what to do instead."""

    code = "rotation_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class RotationPolicy:
    """When keys come and go.

    `grace_period` is Better Auth's `jwks.gracePeriod`: for how long it serves a retired key. It
    cannot be read from its table, so it must be said. `keep_verifying` is ours: for how long a
    retired key is needed, at least the lifetime of a token and the leeway of its verifiers.

    Raises `ValueError` for a policy that would lock users out.
    """

    grace_period: timedelta
    algorithm: str = "EdDSA"
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
        canonical = canonical_algorithm(self.algorithm)
        if canonical not in ALGORITHMS:
            raise ValueError(f"the algorithm must be among {', '.join(ALGORITHMS)} (or Ed25519)")
        object.__setattr__(self, "algorithm", canonical)
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


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, and from when on. A key that is to be made has no kid yet."""

    verb: Verb
    kid: str | None
    due_at: datetime
    reason: str


def plan(keys: Sequence[SigningKey], policy: RotationPolicy, now: datetime) -> list[Step]:
    """Give the next step of the rotation and of each key that has one, the earliest first.

    Raises `RotationRefusedError` where there is no key to begin with.
    """
    again = [
        Step("revoke", key.kid, now, "it was revoked, and is in the table again")
        for key in keys
        if key.state is KeyState.COMPROMISED
    ]
    active = signing(list(keys))
    if active is None and not again:
        raise RotationRefusedError("no key signs: let the issuer make its first one, then rotate")
    if len(keys) > READ_LIMIT:
        return again + _make_room(keys, policy)
    steps = again if active is None else [*again, _succession(active, keys, policy, now)]
    for key in keys:
        if key.state is not KeyState.DEACTIVATED:
            continue
        if key.retired_at is not None:
            removable = safe_to_remove_at(key, policy) + policy.prune_after
            steps.append(Step("prune", key.kid, removable, "its tokens have expired"))
        else:
            steps.append(Step("retire", key.kid, retirable_at(key, policy), "another key signs"))
    return sorted(steps, key=lambda step: (step.due_at, step.verb, step.kid or ""))


def retirable_at(key: SigningKey, policy: RotationPolicy) -> datetime:
    """Tell from when on a superseded key may be retired: not where it would be served too short."""
    since = key.superseded_at or key.published_at
    return since + max(policy.keep_verifying - policy.grace_period, timedelta(0))


def safe_to_remove_at(key: SigningKey, policy: RotationPolicy) -> datetime:
    """Tell from when on no good token needs a retired key. Raises `ValueError` for any other.

    Counted from its retirement and not from when it was superseded: of the latter we know only what
    the table says, the former no issuer can get around.
    """
    if key.retired_at is None:
        raise ValueError(f"key {key.kid} is not retired")
    return key.retired_at + policy.keep_verifying


def refuse_lock_out(
    step: Step, keys: Collection[SigningKey], policy: RotationPolicy, now: datetime
) -> None:
    """Raise `RotationRefusedError` if the step, done now, would lock users out."""
    if step.verb == "revoke":
        return
    if len(keys) > READ_LIMIT and step.verb != "prune":
        raise RotationRefusedError(
            f"there are {len(keys)} keys, and of more than {READ_LIMIT} Better Auth reads"
            " an unknown hundred: prune first"
        )
    if step.verb == "publish":
        _refuse_publication(keys, policy)
        return
    key = next((key for key in keys if key.kid == step.kid), None)
    if key is None:
        if step.verb == "prune":
            return
        raise RotationRefusedError(f"there is no key {step.kid}")
    if step.verb == "activate":
        known_at = key.published_at + policy.publish_ahead
        if key.state is KeyState.PRE_ACTIVATION and now < known_at:
            raise RotationRefusedError(
                f"key {key.kid} was published {_brief(now - key.published_at)} ago, and not every"
                f" verifier knows it yet: wait until {_moment(known_at)}"
            )
    elif step.verb == "retire":
        _refuse_retirement(key, policy, now)
    else:
        _refuse_removal(key, policy, now, crowded=len(keys) > READ_LIMIT)


def _refuse_publication(keys: Collection[SigningKey], policy: RotationPolicy) -> None:
    active = signing(list(keys))
    if active is None:
        raise RotationRefusedError(
            "no key signs, so a new one would at once: let the issuer make its first one"
        )
    if len(keys) >= MAX_KEYS:
        raise RotationRefusedError(
            f"there are {len(keys)} keys, and Better Auth reads {READ_LIMIT} at most: prune first"
        )
    if not active.usable:
        raise RotationRefusedError(
            f"key {active.kid} signs, and does not open with the secret given here: a new key"
            " would be of no use to the issuer"
        )
    if active.algorithm != policy.algorithm and policy.grace_period < max(
        2 * policy.publish_ahead, policy.keep_verifying
    ):
        raise RotationRefusedError(
            "a key of another algorithm waits as one that is served in its grace period, and"
            f" {_brief(policy.grace_period)} are too short: make Better Auth's gracePeriod longer"
        )


def _refuse_retirement(key: SigningKey, policy: RotationPolicy, now: datetime) -> None:
    if key.state is KeyState.ACTIVE:
        raise RotationRefusedError(f"key {key.kid} signs: activate another first")
    if key.retired_at is None and key.superseded_at is not None:
        retirable = retirable_at(key, policy)
        if now < retirable:
            raise RotationRefusedError(
                f"key {key.kid} would be served for {_brief(policy.grace_period)} only, and its"
                f" tokens live longer: wait until {_moment(retirable)}"
            )


def _refuse_removal(
    key: SigningKey, policy: RotationPolicy, now: datetime, *, crowded: bool
) -> None:
    if key.retired_at is not None:
        needed_until = safe_to_remove_at(key, policy)
    elif crowded and key.superseded_at is not None:
        needed_until = key.superseded_at + policy.keep_verifying
    elif key.state is KeyState.ACTIVE:
        raise RotationRefusedError(f"key {key.kid} signs: activate another first")
    else:
        raise RotationRefusedError(f"key {key.kid} is {key.state}: retire it first")
    if now < needed_until:
        raise RotationRefusedError(
            f"tokens of key {key.kid} may be good until {_moment(needed_until)}"
        )


def _make_room(keys: Sequence[SigningKey], policy: RotationPolicy) -> list[Step]:
    """Prune the oldest, without retiring them first.

    A retired row is read as well, so it would make no room, and were all the rows that Better Auth
    reads retired, it would make a key with every call.
    """
    reason = f"Better Auth reads {READ_LIMIT} of {len(keys)} keys"
    superseded = [key for key in keys if key.superseded_at is not None and not key.compromised]
    oldest = sorted(superseded, key=lambda key: (key.published_at, key.kid))
    return [
        Step("prune", key.kid, key.superseded_at + policy.keep_verifying, reason)
        for key in oldest[: len(keys) - MAX_KEYS]
        if key.superseded_at is not None
    ]


def _succession(
    active: SigningKey, keys: Collection[SigningKey], policy: RotationPolicy, now: datetime
) -> Step:
    """Give the step that comes next on the way to the next active key."""
    if active.algorithm != policy.algorithm:
        signs_until = now
        reason = f"key {active.kid} signs {active.algorithm}, not {policy.algorithm}"
    else:
        signs_until = (active.activated_at or active.published_at) + policy.sign_for
        reason = f"key {active.kid} has signed for {_brief(policy.sign_for)}"
        if active.signs_until is not None and active.signs_until < signs_until:
            signs_until = active.signs_until
            reason = f"the issuer itself would replace key {active.kid} by one nobody knows"
    waiting = [
        key
        for key in keys
        if key.state is KeyState.PRE_ACTIVATION and key.algorithm == policy.algorithm and key.usable
    ]
    if not waiting:
        return Step("publish", None, max(signs_until - policy.publish_ahead, now), reason)
    # The one that has been known for longest.
    standby = min(waiting, key=lambda key: (key.published_at, key.kid))
    known_at = standby.published_at + policy.publish_ahead
    return Step("activate", standby.kid, max(signs_until, known_at), reason)


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _brief(span: timedelta) -> str:
    """Say a span of time in its largest unit that makes it a whole number, or in seconds."""
    seconds = int(span.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
