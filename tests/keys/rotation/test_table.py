"""Signing keys from the rows of the table; each case is named by a sentence."""

from datetime import UTC, datetime, timedelta

import pytest

from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from better_auth_keys.rotation.better_auth.table import Event, Row, read_keys, signing_rows
from better_auth_keys.rotation.store import KeyState, SigningKey

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
        [row("a", DAY, None), row("b", HOUR)],
        [],
        {"a": OVER, "b": ACTIVE},
    ),
    "of each algorithm the newest signs": (
        [row("a", DAY), row("b", HOUR), row("c", 2 * DAY, "ES256"), row("d", 3 * DAY, "ES256")],
        [],
        {"a": OVER, "b": ACTIVE, "c": ACTIVE, "d": OVER},
    ),
    "one that waits for another algorithm's key to be replaced still waits": (
        [row("a", DAY), row("b", DAY + HOUR), row("c", HOUR, "ES256")],
        [event("publish", "b", HOUR)],
        {"a": ACTIVE, "b": WAITING, "c": ACTIVE},
    ),
    "the keys of an algorithm that was ended are over": (
        [row("a", DAY, expired=HOUR), row("b", 2 * DAY, expired=HOUR), row("c", HOUR, "ES256")],
        [event("publish", "b", 2 * HOUR), event("retire", "a", HOUR), event("retire", "b", HOUR)],
        {"a": OVER, "b": OVER, "c": ACTIVE},
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


def test_key_is_superseded_by_one_of_its_own_algorithm() -> None:
    rows = [row("a", 9 * DAY), row("b", 8 * DAY, "ES256"), row("c", HOUR), row("d", 9 * DAY)]
    gone = [Event(NOW - 2 * DAY, "activate", "x", "ES256")]
    keys = read(rows, gone)
    assert keys["a"].superseded_at == keys["c"].activated_at
    assert keys["b"].state is ACTIVE
    keys = read([*rows, row("e", DAY, "ES256")], gone)
    assert keys["b"].superseded_at == NOW - 2 * DAY


def test_last_key_of_an_algorithm_is_superseded_when_it_is_retired() -> None:
    rows = [row("a", 9 * DAY, expired=3 * DAY), row("b", 4 * DAY, "ES256"), row("c", DAY)]
    key = read(rows, [event("retire", "a", 3 * DAY)])["a"]
    assert key.superseded_at == key.retired_at == NOW - 3 * DAY


def test_only_a_first_key_of_its_algorithm_that_waits_is_dormant() -> None:
    keys = read(
        [row("a", DAY), row("b", 2 * DAY), row("c", DAY, "ES256", expired=HOUR)],
        [event("publish", "b", HOUR), event("publish", "c", HOUR)],
    )
    assert [kid for kid, key in keys.items() if key.dormant] == ["c"]


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
    # Any hundred rows include at least one that is newer than the oldest 99.
    assert [kid for kid, key in keys.items() if key.superseded_at == NOW] == [
        f"{n:03}" for n in range(99, 104)
    ]
    assert keys["098"].superseded_at == rows[99].created_at
    assert keys["104"].state is ACTIVE


def test_of_over_a_hundred_rows_left_after_pruning_any_may_have_signed_till_then() -> None:
    rows = [row(f"{n:03}", (150 - n) * DAY) for n in range(150)]
    keys = read(rows, [event("prune", "before", HOUR)])
    assert keys["000"].superseded_at == NOW - HOUR


def test_of_over_a_hundred_rows_each_algorithm_has_those_that_may_sign() -> None:
    rows = [row(f"{n:03}", (105 - n) * DAY) for n in range(100)]
    rows += [row(f"e{n}", (1000 - n) * DAY, "ES256") for n in range(5)]
    keys = read(rows, [])
    # Five rows may be hidden: all rows of ES256 may sign, and the six newest of the others.
    assert [kid for kid, key in keys.items() if key.superseded_at == NOW or key.signs] == [
        *(f"e{n}" for n in range(5)),
        *(f"{n:03}" for n in range(94, 100)),
    ]


def test_newer_rows_that_cannot_sign_do_not_keep_another_from_it() -> None:
    rows = [row(f"{n:03}", (500 - n) * DAY) for n in range(100)]
    rows += [row(f"r{n}", (50 - n) * DAY, expired=DAY) for n in range(5)]
    keys = read(rows, [event("retire", f"r{n}", DAY) for n in range(5)])
    assert [kid for kid, key in keys.items() if key.superseded_at == NOW or key.signs] == [
        f"{n:03}" for n in range(94, 100)
    ]


def test_row_that_signs_is_the_newest_live_one_of_its_algorithm() -> None:
    rows = [
        row("a", DAY),
        row("b", 2 * DAY, None),
        row("c", HOUR, expired=HOUR),
        row("d", HOUR, "RS256"),
        row("e", DAY, "RS256"),
    ]
    assert signing_rows(rows, "EdDSA", NOW) == {"EdDSA": rows[0], "RS256": rows[3]}
    assert signing_rows(rows, "ES256", NOW)["ES256"] == rows[1]
    assert signing_rows([], "EdDSA", NOW) == {}
