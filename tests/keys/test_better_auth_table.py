"""What the table says of its keys: each case a sentence."""

from datetime import UTC, datetime, timedelta

import pytest

from keys.better_auth_secrets import IssuerSecrets
from keys.better_auth_table import Event, Row, read_keys, signing_row
from keys.signing_keys import KeyState, SigningKey

NOW = datetime(2030, 1, 31, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ACTIVE, WAITING = KeyState.ACTIVE, KeyState.PRE_ACTIVATION
OVER, BACK = KeyState.DEACTIVATED, KeyState.COMPROMISED


def row(
    kid: str, ago: timedelta, algorithm: str | None = "EdDSA", expired: timedelta | None = None
) -> Row:
    return Row(kid, NOW - ago, None if expired is None else NOW - expired, algorithm)


def event(verb: str, kid: str, ago: timedelta) -> Event:
    return Event(NOW - ago, verb, kid)


def read(
    rows: list[Row],
    events: list[Event],
    revoked: set[str] | None = None,
    algorithm: str = "EdDSA",
) -> dict[str, SigningKey]:
    keys = read_keys(
        rows, events, revoked or set(), algorithm=algorithm, secrets=IssuerSecrets(), now=NOW
    )
    return {key.kid: key for key in keys}


CASES: dict[str, tuple[list[Row], list[Event], dict[str, KeyState]]] = {
    "a key that Better Auth made signs": ([row("a", DAY)], [], {"a": ACTIVE}),
    "of two that it made the newer signs": (
        [row("a", DAY), row("b", HOUR)],
        [],
        {"a": OVER, "b": ACTIVE},
    ),
    "one that we published waits": (
        [row("a", DAY), row("b", DAY + HOUR)],
        [event("publish", "b", HOUR)],
        {"b": WAITING, "a": ACTIVE},
    ),
    "one that we activated signs": (
        [row("a", DAY), row("b", HOUR)],
        [event("publish", "b", 2 * HOUR), event("activate", "b", HOUR)],
        {"a": OVER, "b": ACTIVE},
    ),
    "one of another algorithm waits as an expired row": (
        [row("a", DAY), row("b", DAY, "ES256", expired=HOUR)],
        [event("publish", "b", HOUR)],
        {"a": ACTIVE, "b": WAITING},
    ),
    "one that waited and was retired does not wait": (
        [row("a", DAY), row("b", 2 * DAY, expired=HOUR)],
        [event("publish", "b", 2 * HOUR), event("retire", "b", HOUR)],
        {"a": ACTIVE, "b": OVER},
    ),
    "one whose predecessor was removed by hand signs": (
        [row("b", DAY)],
        [event("publish", "b", HOUR)],
        {"b": ACTIVE},
    ),
    "a row without an algorithm has the issuer's": (
        [row("a", DAY, None), row("b", HOUR, "RS256")],
        [],
        {"a": ACTIVE, "b": OVER},
    ),
    "where the issuer's algorithm has no key the newest of any signs": (
        [row("a", DAY, "RS256"), row("b", HOUR, "ES256")],
        [],
        {"a": OVER, "b": ACTIVE},
    ),
    "a key that expires by itself signs until then": (
        [row("a", DAY, expired=-HOUR)],
        [],
        {"a": ACTIVE},
    ),
    "an expired key signs no more": ([row("a", DAY, expired=HOUR)], [], {"a": OVER}),
}


@pytest.mark.parametrize("case", CASES)
def test_state(case: str) -> None:
    rows, events, expected = CASES[case]
    assert {kid: key.state for kid, key in read(rows, events).items()} == expected


def test_moments_are_those_of_our_own_steps_and_not_the_tables() -> None:
    keys = read(
        [row("a", 40 * DAY, expired=HOUR), row("b", 3 * HOUR)],
        [
            event("publish", "b", 5 * HOUR),
            event("activate", "b", 3 * HOUR),
            event("retire", "a", HOUR),
        ],
    )
    assert keys["a"].superseded_at == keys["b"].activated_at == NOW - 3 * HOUR
    assert keys["a"].retired_at == NOW - HOUR
    assert keys["b"].published_at == NOW - 5 * HOUR


def test_key_that_is_gone_by_now_has_superseded_others_all_the_same() -> None:
    keys = read(
        [row("a", 9 * DAY), row("c", HOUR)],
        [event("activate", "b", 4 * DAY), event("prune", "b", DAY), event("activate", "c", HOUR)],
    )
    assert keys["a"].superseded_at == NOW - 4 * DAY


def test_issuers_own_rotation_shows_when_it_comes() -> None:
    assert read([row("a", DAY, expired=-HOUR)], [])["a"].signs_until == NOW + HOUR


def test_revoked_key_that_is_in_the_table_is_compromised() -> None:
    keys = read([row("a", DAY), row("b", 2 * DAY)], [], {"b"})
    assert (keys["a"].state, keys["b"].state) == (ACTIVE, BACK)


def test_key_that_does_not_open_is_not_usable() -> None:
    assert not read([row("a", DAY)], [])["a"].usable


def test_of_over_a_hundred_rows_any_but_the_oldest_may_sign() -> None:
    rows = [row(f"{n:03}", (105 - n) * DAY) for n in range(105)]
    keys = read(rows, [])
    # Any hundred of them hold at least one that is newer than the oldest 99.
    assert [kid for kid, key in keys.items() if key.superseded_at == NOW] == [
        f"{n:03}" for n in range(99, 104)
    ]
    assert keys["098"].superseded_at == rows[99].created_at
    assert keys["104"].state is ACTIVE


def test_of_over_a_hundred_rows_left_after_pruning_any_may_have_signed_till_then() -> None:
    rows = [row(f"{n:03}", (150 - n) * DAY) for n in range(150)]
    keys = read(rows, [event("prune", "before", HOUR)])
    assert keys["000"].superseded_at == NOW - HOUR


def test_row_that_signs_is_the_newest_live_one_that_fits() -> None:
    rows = [row("a", DAY), row("b", HOUR, "RS256"), row("c", HOUR, expired=HOUR)]
    assert signing_row(rows, "EdDSA", NOW) == rows[0]
    assert signing_row(rows, "RS256", NOW) == rows[1]
    assert signing_row(rows, "ES256", NOW) == rows[1]
    assert signing_row([], "EdDSA", NOW) is None
