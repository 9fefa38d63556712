"""Refuse steps of a rotation that would lock users out. Nothing here reads or writes anything."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

from better_auth_keys.rotation.plan import (
    PUBLISH_LIMIT,
    READ_LIMIT,
    RotationRefusedError,
    Step,
    brief,
    in_utc,
    needed_without_retirement_until,
    retirable_at,
    safe_to_remove_at,
)
from better_auth_keys.rotation.policy import RotationPolicy
from better_auth_keys.rotation.store import KeyState, SigningKey, active_keys

_UNPIN: Final = "remove it from PINNED_KEYS once no pin names it"


def refuse_lock_out(
    step: Step, keys: Collection[SigningKey], policy: RotationPolicy, now: datetime
) -> None:
    """Raise `RotationRefusedError` if the step, done now, would lock users out."""
    key = next((key for key in keys if key.kid == step.kid), None)
    if step.verb == "revoke":
        if key is not None and not key.compromised:
            _refuse_pinned(
                key, policy, "pin another key first, or revoke this one at once with --force"
            )
        return
    if len(keys) > READ_LIMIT and step.verb != "prune":
        raise RotationRefusedError(
            f"there are {len(keys)} keys, and Better Auth reads only {READ_LIMIT} of them, in no"
            " order: prune first"
        )
    if step.verb == "publish":
        _refuse_publication(step.algorithm, keys, policy)
        return
    if key is None:
        if step.verb == "prune":
            return
        raise RotationRefusedError(f"there is no key {step.kid}")
    if step.verb == "activate":
        if key.state is KeyState.PRE_ACTIVATION:
            _refuse_before_it_is_known(key, policy, now)
        return
    if step.verb == "retire":
        _refuse_retirement(key, policy, now)
    else:
        _refuse_removal(key, policy, now, over_limit=len(keys) > READ_LIMIT)


def refuse_end_of_algorithm(
    algorithm: str,
    successor: SigningKey,
    keys: Collection[SigningKey],
    policy: RotationPolicy,
    now: datetime,
) -> None:
    """Raise `RotationRefusedError` if retiring an algorithm's keys now would lock users out.

    `successor` is the key of another algorithm that signs instead of them.
    """
    ending = [key for key in keys if key.algorithm == algorithm and key.retired_at is None]
    if ending:
        _refuse_before_it_is_known(successor, policy, now)
    for key in ending:
        _refuse_pinned(key, policy, _UNPIN)
        if key.signs and policy.grace_period < policy.keep_verifying:
            raise RotationRefusedError(
                f"key {key.kid} would be served for only {brief(policy.grace_period)}, and its"
                " tokens live longer: make Better Auth's gracePeriod longer"
            )


def _refuse_before_it_is_known(key: SigningKey, policy: RotationPolicy, now: datetime) -> None:
    known_at = key.published_at + policy.publish_ahead
    if now < known_at:
        raise RotationRefusedError(
            f"key {key.kid} was published {brief(now - key.published_at)} ago, and a key must be"
            f" published for {brief(policy.publish_ahead)} (--publish-ahead) before it replaces"
            f" another: wait until {in_utc(known_at)}"
        )


def _refuse_pinned(key: SigningKey, policy: RotationPolicy, instead: str) -> None:
    if key.kid in policy.pinned:
        raise RotationRefusedError(
            f"key {key.kid} is pinned (PINNED_KEYS): without it Better Auth issues no token for"
            f" what is pinned to it; {instead}"
        )


def refuse_unusable(key: SigningKey) -> None:
    """Raise `RotationRefusedError` if the given secret does not decrypt the signing key."""
    if not key.usable:
        raise RotationRefusedError(
            f"key {key.kid} signs, but the given secret does not decrypt it, so a new key would be"
            " of no use to the issuer: give the secret that the issuer uses"
        )


def _refuse_publication(
    algorithm: str, keys: Collection[SigningKey], policy: RotationPolicy
) -> None:
    active = active_keys(keys)
    if not active:
        raise RotationRefusedError(
            "no key signs, so a new one would sign at once: let the issuer create its first key"
        )
    if len(keys) >= PUBLISH_LIMIT:
        raise RotationRefusedError(
            f"there are {len(keys)} keys, and Better Auth reads at most {READ_LIMIT}: prune first"
        )
    for key in active.values():
        refuse_unusable(key)
    if algorithm not in active and policy.grace_period < max(
        2 * policy.publish_ahead, policy.keep_verifying
    ):
        raise RotationRefusedError(
            "the first key of an algorithm is served only for Better Auth's gracePeriod until it"
            f" signs, and {brief(policy.grace_period)} is too short: make the gracePeriod longer"
        )


def _refuse_retirement(key: SigningKey, policy: RotationPolicy, now: datetime) -> None:
    if key.state is KeyState.ACTIVE:
        raise RotationRefusedError(
            f"key {key.kid} signs: activate another first, or end {key.algorithm} with"
            f" activate --replaces {key.algorithm}"
        )
    if key.retired_at is not None:
        return
    _refuse_pinned(key, policy, _UNPIN)
    if key.superseded_at is not None:
        retirable = retirable_at(key, policy)
        if now < retirable:
            raise RotationRefusedError(
                f"key {key.kid} would be served for only {brief(policy.grace_period)}, and its"
                f" tokens live longer: wait until {in_utc(retirable)}"
            )


def _refuse_removal(
    key: SigningKey, policy: RotationPolicy, now: datetime, *, over_limit: bool
) -> None:
    needed_until = needed_without_retirement_until(key, policy) if over_limit else None
    if key.retired_at is not None:
        needed_until = safe_to_remove_at(key, policy)
    elif key.state is KeyState.ACTIVE:
        raise RotationRefusedError(f"key {key.kid} signs: activate another first")
    elif needed_until is None:
        raise RotationRefusedError(f"key {key.kid} is {key.state}: retire it first")
    _refuse_pinned(key, policy, _UNPIN)
    if now < needed_until:
        raise RotationRefusedError(
            f"tokens of key {key.kid} may be valid until {in_utc(needed_until)}: wait until then"
        )
