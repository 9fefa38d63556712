"""What is due in a rotation: a pure function of the keys, the policy and the moment.

The rules, in order:

1. Each algorithm of the policy is rotated by itself. A key is superseded only by one of its own
   algorithm, and no rotation ends an algorithm: an operator does (`rotate-keys activate
   --replaces`).
2. Nothing signs before it has been served for `publish_ahead`: every verifier knows it by then.
3. A key is published `publish_ahead` before the active one has signed for `sign_for`, and activated
   when it has. For an algorithm without an active key, it is published and activated at once.
4. A key that was superseded is retired as soon as the issuer will serve it for as long as its
   tokens may live. Retired at T, it is needed until T + `keep_verifying`, and then pruned. A pinned
   key is neither retired nor pruned.
5. A revoked key that is in the store again is revoked again, at once.
6. Of more than 100 keys Better Auth reads an unknown hundred: nothing is done but to prune the
   oldest, which cannot be ones that sign.

No step here reads or writes anything. Whoever carries one out asks again under a lock, and is
refused by `better_auth_keys.rotation.refusals` what would lock users out.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from better_auth_keys.errors import KeysError
from better_auth_keys.rotation.policy import RotationPolicy
from better_auth_keys.rotation.store import KeyState, SigningKey, active_keys

MAX_KEYS: Final = 80
"""No key is published beyond these: what Better Auth does with its table ends at `READ_LIMIT`."""
READ_LIMIT: Final = 100
"""Better Auth reads so many rows of its table, in no order; the newest may be none of them."""

Verb = Literal["publish", "activate", "retire", "prune", "revoke"]


class RotationRefusedError(KeysError):
    """The step would lock users out. The message says what to do instead."""

    code = "rotation_refused"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, and from when on. A key that is to be made has no kid yet."""

    verb: Verb
    kid: str | None
    algorithm: str
    due_at: datetime
    reason: str


def plan(keys: Sequence[SigningKey], policy: RotationPolicy, now: datetime) -> list[Step]:
    """Return the next step of each algorithm and of each key that has one, the earliest first.

    Raises `RotationRefusedError` where there is no key to begin with.
    """
    again = [
        Step("revoke", key.kid, key.algorithm, now, "it was revoked, and is in the table again")
        for key in keys
        if key.state is KeyState.COMPROMISED
    ]
    active = active_keys(keys)
    if not active and not again:
        raise RotationRefusedError("no key signs: let the issuer make its first one, then rotate")
    if len(keys) > READ_LIMIT:
        return again + _make_room(keys, policy)
    # Revoking a key that signs has another one of its algorithm sign.
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
    """Return the key of an algorithm that has waited to sign for longest, if one waits."""
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
    """Return from when on a superseded key may be retired: not where it is served too short."""
    since = key.superseded_at or key.published_at
    return since + max(policy.keep_verifying - policy.grace_period, timedelta(0))


def safe_to_remove_at(key: SigningKey, policy: RotationPolicy) -> datetime:
    """Return from when on no good token needs a retired key. Raises `ValueError` for any other.

    Counted from its retirement and not from when it was superseded: of the latter we know only what
    the table says, the former no issuer can get around.
    """
    if key.retired_at is None:
        raise ValueError(f"key {key.kid} is not retired")
    return key.retired_at + policy.keep_verifying


def _make_room(keys: Sequence[SigningKey], policy: RotationPolicy) -> list[Step]:
    """Prune the oldest, without retiring them first.

    A retired row is read as well, so it would make no room, and were all the rows that Better Auth
    reads retired, it would make a key with every call.
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
        for key in oldest[: len(keys) - MAX_KEYS]
        if (needed_until := needed_in_a_crowd_until(key, policy)) is not None
    ]


def needed_in_a_crowd_until(key: SigningKey, policy: RotationPolicy) -> datetime | None:
    """Return until when a key is needed that is pruned without being retired; None: it signs."""
    ended = key.retired_at or key.superseded_at
    return None if ended is None else ended + policy.keep_verifying


def _succession(
    algorithm: str,
    active: SigningKey | None,
    keys: Collection[SigningKey],
    policy: RotationPolicy,
    now: datetime,
) -> Step:
    """Return the step that comes next on the way to the algorithm's next active key."""
    if active is None:
        signs_until, reason = now, f"no key of {algorithm} signs"
    else:
        signs_until = (active.activated_at or active.published_at) + policy.sign_for
        reason = f"key {active.kid} has signed for {brief(policy.sign_for)}"
        if active.signs_until is not None and active.signs_until < signs_until:
            signs_until = active.signs_until
            reason = f"the issuer itself would replace key {active.kid} by one nobody knows"
    waiting = standby(keys, algorithm)
    if waiting is None:
        published_at = max(signs_until - policy.publish_ahead, now)
        return Step("publish", None, algorithm, published_at, reason)
    if waiting.dormant:
        # It was published before the active key was, which the issuer made by itself meanwhile.
        signs_until = min(signs_until, now)
    known_at = waiting.published_at + policy.publish_ahead
    return Step("activate", waiting.kid, algorithm, max(signs_until, known_at), reason)


def brief(span: timedelta) -> str:
    """Return a span of time in its largest unit that makes it a whole number, or in seconds."""
    seconds = int(span.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
