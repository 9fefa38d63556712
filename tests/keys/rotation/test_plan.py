"""The plan of a rotation and its refusals; each case is named by a sentence."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from better_auth_keys.rotation.plan import (
    PUBLISH_LIMIT,
    RotationRefusedError,
    Step,
    Verb,
    in_utc,
    plan,
    safe_to_remove_at,
)
from better_auth_keys.rotation.policy import RotationPolicy
from better_auth_keys.rotation.refusals import refuse_end_of_algorithm, refuse_lock_out
from better_auth_keys.rotation.store import KeyState, SigningKey

NOW = datetime(2030, 1, 31, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
POLICY = RotationPolicy(grace_period=30 * DAY, prune_after=0 * DAY)


def active(signing_for: timedelta = DAY, kid: str = "a", algorithm: str = "EdDSA") -> SigningKey:
    since = NOW - signing_for
    return SigningKey(kid, algorithm, since, activated_at=since)


def standby(published: timedelta = HOUR, kid: str = "s", algorithm: str = "EdDSA") -> SigningKey:
    return SigningKey(kid, algorithm, NOW - published)


def superseded(ago: timedelta = MINUTE, kid: str = "o", algorithm: str = "EdDSA") -> SigningKey:
    since = NOW - 40 * DAY
    return SigningKey(kid, algorithm, since, activated_at=since, superseded_at=NOW - ago)


def retired(ago: timedelta, kid: str = "r") -> SigningKey:
    since = NOW - 40 * DAY
    return SigningKey(
        kid, "EdDSA", since, activated_at=since, superseded_at=NOW - ago, retired_at=NOW - ago
    )


def many(count: int, last: timedelta = 2 * HOUR) -> list[SigningKey]:
    """Return keys of `count` days: the newest signs, and the one before may have valid tokens."""
    begun = [NOW - (count - n) * DAY for n in range(count)]
    return [
        SigningKey(
            f"{n:03}", "EdDSA", begun[n], activated_at=begun[n], superseded_at=begun[n] + DAY
        )
        for n in range(count - 1)
    ] + [active(last, kid="newest")]


def revoked(kid: str = "x") -> SigningKey:
    return SigningKey(kid, "EdDSA", NOW - DAY, compromised=True)


def step(verb: Verb, kid: str | None, algorithm: str = "EdDSA") -> Step:
    return Step(verb, kid, algorithm, NOW, "")


Brief = tuple[Verb, str | None, timedelta]
CASES: dict[str, tuple[list[SigningKey], list[Brief]]] = {
    "a young key is succeeded in good time": (
        [active()],
        [("publish", None, 29 * DAY - 15 * MINUTE)],
    ),
    "a key near its end has its successor published now": (
        [active(30 * DAY - 10 * MINUTE)],
        [("publish", None, 0 * DAY)],
    ),
    "a key past its end has its successor published first": (
        [active(90 * DAY)],
        [("publish", None, 0 * DAY)],
    ),
    "a successor waits for the key before it": (
        [active(), standby()],
        [("activate", "s", 29 * DAY)],
    ),
    "a successor waits until everybody knows it": (
        [active(31 * DAY), standby(5 * MINUTE)],
        [("activate", "s", 10 * MINUTE)],
    ),
    "a known successor is activated when it is due": (
        [active(31 * DAY), standby()],
        [("activate", "s", -45 * MINUTE)],
    ),
    "of two successors the one that is known for longer": (
        [active(31 * DAY), standby(HOUR, "s"), standby(2 * HOUR, "t")],
        [("activate", "t", -105 * MINUTE)],
    ),
    "an algorithm without a key that signs has one published at once": (
        [active(algorithm="RS256")],
        [("publish", None, 0 * DAY)],
    ),
    "and activated when everybody knows it": (
        [active(algorithm="RS256"), standby(5 * MINUTE)],
        [("activate", "s", 10 * MINUTE)],
    ),
    "a key of an algorithm that is not rotated is left as it is": (
        [active(), active(90 * DAY, "b", "RS256")],
        [("publish", None, 29 * DAY - 15 * MINUTE)],
    ),
    "one that waits in its grace period goes before a key that the issuer made meanwhile": (
        [active(), replace(standby(5 * MINUTE), dormant=True)],
        [("activate", "s", 10 * MINUTE)],
    ),
    "a successor of another algorithm is none": (
        [active(), standby(algorithm="ES256")],
        [("publish", None, 29 * DAY - 15 * MINUTE)],
    ),
    "a superseded key is retired at once": (
        [active(), superseded()],
        [("retire", "o", -MINUTE), ("publish", None, 29 * DAY - 15 * MINUTE)],
    ),
    "a retired key is pruned when its tokens have expired": (
        [active(), retired(10 * MINUTE)],
        [("prune", "r", 50 * MINUTE), ("publish", None, 29 * DAY - 15 * MINUTE)],
    ),
    "a revoked key that is back is revoked again": (
        [active(), revoked()],
        [("revoke", "x", 0 * DAY), ("publish", None, 29 * DAY - 15 * MINUTE)],
    ),
    "a revoked key that is back and signs is revoked again": (
        [replace(active(), compromised=True)],
        [("revoke", "a", 0 * DAY)],
    ),
    "a key that the issuer itself will replace is succeeded before": (
        [replace(active(), signs_until=NOW + HOUR)],
        [("publish", None, 45 * MINUTE)],
    ),
    "a successor that cannot be read is none": (
        [active(31 * DAY), replace(standby(), usable=False)],
        [("publish", None, 0 * DAY)],
    ),
    "of too many keys the oldest are pruned without being retired": (
        many(103),
        [("prune", f"{n:03}", (n + 1 - 103) * DAY + HOUR) for n in range(23)],
    ),
}


BOTH = replace(POLICY, algorithms=("EdDSA", "ES256"))
OF_BOTH: dict[str, tuple[list[SigningKey], list[tuple[Verb, str | None, str, timedelta]]]] = {
    "each algorithm has its own time": (
        [active(), active(31 * DAY, "e", "ES256")],
        [
            ("publish", None, "ES256", 0 * DAY),
            ("publish", None, "EdDSA", 29 * DAY - 15 * MINUTE),
        ],
    ),
    "each has its own successor": (
        [
            active(31 * DAY),
            active(31 * DAY, "e", "ES256"),
            standby(),
            standby(5 * MINUTE, "t", "ES256"),
        ],
        [("activate", "s", "EdDSA", -45 * MINUTE), ("activate", "t", "ES256", 10 * MINUTE)],
    ),
    "each retires its own superseded key": (
        [active(), active(DAY, "e", "ES256"), superseded(), superseded(HOUR, "p", "ES256")],
        [
            ("retire", "p", "ES256", -HOUR),
            ("retire", "o", "EdDSA", -MINUTE),
            ("publish", None, "ES256", 29 * DAY - 15 * MINUTE),
            ("publish", None, "EdDSA", 29 * DAY - 15 * MINUTE),
        ],
    ),
    "a revoked key that is back and signs holds up no other algorithm": (
        [replace(active(), compromised=True), active(31 * DAY, "e", "ES256")],
        [("publish", None, "ES256", 0 * DAY), ("revoke", "a", "EdDSA", 0 * DAY)],
    ),
}


@pytest.mark.parametrize("case", OF_BOTH)
def test_plan_of_two_algorithms(case: str) -> None:
    keys, expected = OF_BOTH[case]
    steps = plan(keys, BOTH, NOW)
    found = [(step.verb, step.kid, step.algorithm, step.due_at - NOW) for step in steps]
    assert sorted(found, key=str) == sorted(expected, key=str)


@pytest.mark.parametrize("keys", [[superseded()], [retired(10 * DAY)], many(103)[:-1]])
def test_pinned_key_is_neither_retired_nor_pruned(keys: list[SigningKey]) -> None:
    pinned = replace(POLICY, pinned=frozenset({keys[0].kid}))
    steps = plan([*keys, active()], pinned, NOW)
    assert keys[0].kid not in {step.kid for step in steps}
    verb: Verb = "retire" if keys == [superseded()] else "prune"
    with pytest.raises(RotationRefusedError, match=r"is pinned \(PINNED_KEYS\)"):
        refuse_lock_out(step(verb, keys[0].kid), [*keys, active()], pinned, NOW)
    refuse_lock_out(step(verb, keys[0].kid), [*keys, active()], POLICY, NOW)


def test_pinned_key_is_not_revoked_by_mistake_and_a_revoked_one_that_is_back_is() -> None:
    pinned = replace(POLICY, pinned=frozenset({"o", "x"}))
    keys = [active(), superseded(), revoked()]
    with pytest.raises(RotationRefusedError, match="revoke this one at once with --force"):
        refuse_lock_out(step("revoke", "o"), keys, pinned, NOW)
    refuse_lock_out(step("revoke", "x"), keys, pinned, NOW)
    assert plan(keys, pinned, NOW)[0].kid == "x"


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOW, "2030-01-31 00:00 UTC"),
        (NOW + timedelta(microseconds=1), "2030-01-31 00:01 UTC"),
        (NOW.astimezone(timezone(timedelta(hours=-5))), "2030-01-31 00:00 UTC"),
    ],
)
def test_time_is_shown_in_utc_and_never_too_early(moment: datetime, text: str) -> None:
    assert in_utc(moment) == text


def test_end_of_an_algorithm_is_refused_where_it_would_lock_users_out() -> None:
    def refuse(successor: SigningKey, policy: RotationPolicy = POLICY) -> None:
        keys = [active(), superseded(), successor]
        refuse_end_of_algorithm("EdDSA", successor, keys, policy, NOW)

    too_early = "for 15 min .* before it replaces another: wait until 2030-01-31 00:01 UTC"
    with pytest.raises(RotationRefusedError, match=too_early):
        refuse(standby(14 * MINUTE, "e", "ES256"))
    with pytest.raises(RotationRefusedError, match=too_early):
        refuse(active(14 * MINUTE, "e", "ES256"))
    known = standby(16 * MINUTE, "e", "ES256")
    for kid in ("a", "o"):
        with pytest.raises(RotationRefusedError, match=f"key {kid} is pinned"):
            refuse(known, replace(POLICY, pinned=frozenset({kid})))
    with pytest.raises(RotationRefusedError, match="gracePeriod longer"):
        refuse(known, replace(POLICY, grace_period=59 * MINUTE))
    refuse(known)


@pytest.mark.parametrize("case", CASES)
def test_plan(case: str) -> None:
    keys, expected = CASES[case]
    steps = plan(keys, POLICY, NOW)
    assert [(step.verb, step.kid, step.due_at - NOW) for step in steps] == expected
    assert all(step.reason for step in steps)


def test_key_is_retired_later_where_the_issuer_would_serve_it_too_short() -> None:
    short = replace(POLICY, grace_period=20 * MINUTE)
    steps = plan([active(), superseded()], short, NOW)
    assert (steps[0].verb, steps[0].due_at - NOW) == ("retire", 39 * MINUTE)


def test_row_is_kept_for_a_while_after_it_is_needed() -> None:
    patient = replace(POLICY, prune_after=DAY)
    steps = plan([active(), retired(10 * MINUTE)], patient, NOW)
    assert (steps[0].verb, steps[0].due_at - NOW) == ("prune", DAY + 50 * MINUTE)


@pytest.mark.parametrize("keys", [[], [standby()], [retired(DAY)]])
def test_plan_without_a_key_that_signs_is_refused(keys: list[SigningKey]) -> None:
    with pytest.raises(RotationRefusedError, match="no key signs"):
        plan(keys, POLICY, NOW)


REFUSED: dict[str, tuple[list[SigningKey], Verb, str | None, str]] = {
    "activating a key that was just published": (
        [active(), standby(14 * MINUTE)],
        "activate",
        "s",
        "wait until 2030-01-31 00:01 UTC",
    ),
    "activating a key that is not there": ([active()], "activate", "s", "there is no key s"),
    "retiring the key that signs": ([active()], "retire", "a", "activate another first"),
    "pruning a key whose tokens may be good": (
        [active(), retired(59 * MINUTE)],
        "prune",
        "r",
        "may be valid until 2030-01-31 00:01 UTC",
    ),
    "pruning a key that was not retired": ([active(), superseded()], "prune", "o", "retire it"),
    "pruning the key that signs": ([active()], "prune", "a", "activate another first"),
    "pruning a key that waits": ([active(), standby()], "prune", "s", "pre-activation"),
    "publishing where nothing signs": ([], "publish", None, "let the issuer create its first"),
    "publishing with another secret than the issuer's": (
        [replace(active(), usable=False)],
        "publish",
        None,
        "the given secret does not decrypt it",
    ),
    "activating one of too many keys": ([*many(101), standby()], "activate", "s", "prune first"),
    "retiring one of too many keys": (many(101), "retire", "000", "prune first"),
    "pruning one of too many keys whose tokens may be good": (
        [*many(101), superseded()],
        "prune",
        "o",
        "may be valid until 2030-01-31 00:59 UTC",
    ),
    "publishing one key too many": (
        [active(), *(standby(kid=str(n)) for n in range(PUBLISH_LIMIT - 1))],
        "publish",
        None,
        "prune first",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_step_that_would_lock_users_out_is_refused(case: str) -> None:
    keys, verb, kid, message = REFUSED[case]
    with pytest.raises(RotationRefusedError, match=message):
        refuse_lock_out(step(verb, kid), keys, POLICY, NOW)


def test_every_step_of_a_plan_that_is_due_is_allowed() -> None:
    for keys, _ in CASES.values():
        for step in plan(keys, POLICY, NOW):
            if step.due_at <= NOW:
                refuse_lock_out(step, keys, POLICY, NOW)


def test_key_is_safe_to_remove_once_tokens_from_before_its_retirement_have_expired() -> None:
    late = SigningKey(
        "l", "EdDSA", NOW, activated_at=NOW, superseded_at=NOW + DAY, retired_at=NOW + 3 * DAY
    )
    assert safe_to_remove_at(late, POLICY) == NOW + 3 * DAY + HOUR
    with pytest.raises(ValueError, match="not retired"):
        safe_to_remove_at(active(), POLICY)


@pytest.mark.parametrize("grace_period", [20 * MINUTE, 50 * MINUTE])
def test_key_of_another_algorithm_needs_a_grace_period(grace_period: timedelta) -> None:
    short = RotationPolicy(algorithms=("ES256",), grace_period=grace_period)
    with pytest.raises(RotationRefusedError, match="gracePeriod longer"):
        refuse_lock_out(step("publish", None, "ES256"), [active()], short, NOW)
    long = replace(short, grace_period=HOUR)
    refuse_lock_out(step("publish", None, "ES256"), [active()], long, NOW)


def test_superseded_key_is_not_retired_where_it_would_be_served_too_short() -> None:
    short = replace(POLICY, grace_period=0 * DAY)
    with pytest.raises(RotationRefusedError, match="wait until 2030-01-31 00:59 UTC"):
        refuse_lock_out(step("retire", "o"), [active(), superseded()], short, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"algorithms": ("HS256",)},
        {"algorithms": ()},
        {"algorithms": ("EdDSA", "ES256", "Ed25519")},
        {"publish_ahead": MINUTE},
        {"sign_for": 10 * MINUTE},
        {"keep_verifying": 0 * DAY},
        {"token_lifetime": HOUR},
        {"token_lifetime": 0 * DAY},
        {"grace_period": -DAY},
        {"prune_after": -DAY},
    ],
    ids=str,
)
def test_policy_that_would_lock_users_out_is_refused(changes: dict[str, timedelta]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        replace(POLICY, **changes)  # type: ignore[arg-type] # the algorithms among them are strings


def test_states_are_told_from_what_has_happened_to_a_key() -> None:
    assert standby().state is KeyState.PRE_ACTIVATION
    assert active().state is KeyState.ACTIVE
    assert superseded().state is retired(DAY).state is KeyState.DEACTIVATED
    assert revoked().state is KeyState.COMPROMISED
