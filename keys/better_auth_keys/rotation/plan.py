"""The plan of a rotation: a pure function of the keys, the policy and the time.

The rules, in order:

1. Each algorithm of the policy is rotated separately. Only a key of the same algorithm supersedes a
   key, and no rotation ends an algorithm: operators do (`rotate-keys activate --replaces`).
2. No key signs before it has been served for `publish_ahead`, so that every replica knows it.
3. A key is published `publish_ahead` before the active one has signed for `sign_for`, and activated
   when it has. If an algorithm has no active key, one is published and activated at once.
4. A superseded key is retired as soon as the issuer will still serve it for the lifetime of its
   tokens. If it is retired at T, it is needed until T + `keep_verifying`, and then pruned. A pinned
   key is neither retired nor pruned.
5. A revoked key that is in the store again is revoked again, at once.
6. If there are more than 100 keys, Better Auth reads only 100 of them, in no order. Then the only
   step is to prune the oldest keys, which cannot be ones that sign.

Nothing here reads or writes anything. Commands check each step again under a lock, and
`better_auth_keys.rotation.refusals` refuses steps that would lock users out.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from better_auth_keys.errors import KeysError
from better_auth_keys.rotation.policy import RotationPolicy
from better_auth_keys.rotation.store import KeyState, SigningKey, active_keys

PUBLISH_LIMIT: Final = 80
"""With this many keys no other is published, to stay well below `READ_LIMIT`."""
READ_LIMIT: Final = 100
"""The number of rows that Better Auth reads of its table, in no order."""

Verb = Literal["publish", "activate", "retire", "prune", "revoke"]


class RotationRefusedError(KeysError):
    """A step was refused because it would lock users out. The message says what to do instead."""

    code = "rotation_refused"


@dataclass(frozen=True, slots=True)
class Step:
    """One step, and when it is due. `kid` is None for a key that is to be created."""

    verb: Verb
    kid: str | None
    algorithm: str
    due_at: datetime
    reason: str


def plan(keys: Sequence[SigningKey], policy: RotationPolicy, now: datetime) -> list[Step]:
    """Return the next step of each algorithm and of each key that has one, earliest first.

    Raises `RotationRefusedError` if there is no key that signs.
    """
    again = [
        Step("revoke", key.kid, key.algorithm, now, "it was revoked, and is in the table again")
        for key in keys
        if key.state is KeyState.COMPROMISED
    ]
    active = active_keys(keys)
    if not active and not again:
        raise RotationRefusedError("no key signs: let the issuer create its first key, then rotate")
    if len(keys) > READ_LIMIT:
        return again + _prune_oldest(keys, policy)
    # If a key that signs is revoked, another one of its algorithm takes its place.
    replaced = {key.algorithm for key in keys if key.state is KeyState.COMPROMISED and key.signs}
    steps = again + [
        _succession(algorithm, active.get(algorithm), keys, policy, now)
        for algorithm in policy.algorithms
        if active and algorithm not in replaced
    ]
    for key in keys:
        if key.state is not KeyState.DEACTIVATED or key.kid in policy.pinned:
            continue
        if key.retired_at is not None:
            removable = safe_to_remove_at(key, policy) + policy.prune_after
            steps.append(
                Step("prune", key.kid, key.algorithm, removable, "its tokens have expired")
            )
        else:
            retirable = retirable_at(key, policy)
            steps.append(Step("retire", key.kid, key.algorithm, retirable, "another key signs"))
    return sorted(steps, key=lambda step: (step.due_at, step.verb, step.kid or ""))


def standby(
    keys: Collection[SigningKey], algorithm: str, *, excluded: Collection[str] = ()
) -> SigningKey | None:
    """Return the key of an algorithm that has been waiting longest to sign, or None."""
    waiting = [
        key
        for key in keys
        if key.state is KeyState.PRE_ACTIVATION
        and key.algorithm == algorithm
        and key.usable
        and key.kid not in excluded
    ]
    return min(waiting, key=lambda key: (key.published_at, key.kid), default=None)


def retirable_at(key: SigningKey, policy: RotationPolicy) -> datetime:
    """Return when a superseded key may be retired, so that it is served long enough."""
    since = key.superseded_at or key.published_at
    return since + max(policy.keep_verifying - policy.grace_period, timedelta(0))


def safe_to_remove_at(key: SigningKey, policy: RotationPolicy) -> datetime:
    """Return when no valid token needs a retired key any more.

    The time runs from its retirement, after which the issuer cannot sign with it. When it was
    superseded is less certain, because only the table says so. Raises `ValueError` if the key is
    not retired.
    """
    if key.retired_at is None:
        raise ValueError(f"key {key.kid} is not retired")
    return key.retired_at + policy.keep_verifying


def _prune_oldest(keys: Sequence[SigningKey], policy: RotationPolicy) -> list[Step]:
    """Return the steps that prune the oldest keys without retiring them first.

    Better Auth reads retired rows as well, so retiring makes no room. If all rows that it reads
    were retired, it would create a key in every call.
    """
    reason = f"Better Auth reads {READ_LIMIT} of {len(keys)} keys"
    superseded = [
        key
        for key in keys
        if key.superseded_at is not None and not key.compromised and key.kid not in policy.pinned
    ]
    oldest = sorted(superseded, key=lambda key: (key.published_at, key.kid))
    return [
        Step("prune", key.kid, key.algorithm, needed_until, reason)
        for key in oldest[: len(keys) - PUBLISH_LIMIT]
        if (needed_until := needed_without_retirement_until(key, policy)) is not None
    ]


def needed_without_retirement_until(key: SigningKey, policy: RotationPolicy) -> datetime | None:
    """Return until when a key is needed if it is pruned without being retired; None if it signs."""
    ended = key.retired_at or key.superseded_at
    return None if ended is None else ended + policy.keep_verifying


def _succession(
    algorithm: str,
    active: SigningKey | None,
    keys: Collection[SigningKey],
    policy: RotationPolicy,
    now: datetime,
) -> Step:
    """Return the next step towards the algorithm's next active key."""
    if active is None:
        signs_until, reason = now, f"no key of {algorithm} signs"
    else:
        signs_until = (active.activated_at or active.published_at) + policy.sign_for
        reason = f"key {active.kid} has signed for {brief(policy.sign_for)}"
        if active.signs_until is not None and active.signs_until < signs_until:
            signs_until = active.signs_until
            reason = f"the issuer would replace key {active.kid} by a key that no replica knows"
    waiting = standby(keys, algorithm)
    if waiting is None:
        published_at = max(signs_until - policy.publish_ahead, now)
        return Step("publish", None, algorithm, published_at, reason)
    if waiting.dormant:
        # The issuer has created the active key by itself since this one was published.
        signs_until = min(signs_until, now)
    known_at = waiting.published_at + policy.publish_ahead
    return Step("activate", waiting.kid, algorithm, max(signs_until, known_at), reason)


def brief(span: timedelta) -> str:
    """Return a time span in the largest unit in which it is a whole number, or in seconds."""
    seconds = int(span.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def in_utc(moment: datetime) -> str:
    """Return a time as text in UTC, rounded up to a minute: it is never too early."""
    almost_a_minute = timedelta(minutes=1) - timedelta.resolution
    return f"{(moment + almost_a_minute).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
