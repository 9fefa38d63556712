"""`rotate-keys` with several algorithms: each has its own rotation, and one can replace another."""

import asyncio

import pytest

from tests.conftest import DatabaseUrls
from tests.scripts.operations.rotate_keys.commands import (
    DAY,
    FORCE,
    HOUR,
    Result,
    Rotate,
    add,
    do,
    events,
    pass_a_second,
    report,
    states,
)
from tests.simulators.jwks_table import Issuer


def test_change_of_algorithm_is_explicit_and_holds_for_any_setting_of_the_issuer(
    rotate: Rotate,
    issuer: Issuer,
    issuer_database: DatabaseUrls,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = do(issuer.mint_key(age=DAY))
    waiting = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]
    monkeypatch.setenv("SIGNING_ALGORITHM", "ES256")
    new = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]
    changed = Issuer(issuer.url, algorithm="ES256")
    assert do(issuer.signs_with()) == do(changed.signs_with()) == old
    assert do(issuer.serves()) == {old, waiting, new}
    replace = ["activate", "--replaces", "EdDSA", "--execute"]
    assert "(--publish-ahead) before it replaces another" in rotate(*replace).err
    said = rotate(*replace, *FORCE)
    assert sorted(said.out.splitlines()) == sorted(
        [f"activated  {new} (ES256)", f"retired  {old} (EdDSA)", f"retired  {waiting} (EdDSA)"]
    )
    assert do(issuer.signs_with()) == do(changed.signs_with()) == new
    assert do(issuer.serves()) == {old, waiting, new}
    # A second run has nothing to do, and the timer does not publish the old algorithm again.
    assert rotate(*replace, *FORCE).out == f"already activated  {new} (ES256)\n"
    assert rotate("run", "--execute").code == 3
    assert [verb for verb, _, _ in do(events(issuer_database.auth))] == [
        "publish",
        "publish",
        "activate",
        "retire",
        "retire",
    ]
    # Change the algorithm back.
    monkeypatch.setenv("SIGNING_ALGORITHM", "EdDSA")
    back = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]
    assert do(issuer.signs_with()) == do(changed.signs_with()) == new
    rotate("activate", back, "--replaces", "ES256", "--execute", *FORCE)
    assert do(issuer.signs_with()) == do(changed.signs_with()) == back
    assert do(issuer.serves()) == {old, waiting, new, back}


def test_key_that_already_signs_can_replace_the_keys_of_another_algorithm(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = do(issuer.mint_key(age=DAY))
    new = add(rotate, "ES256")
    assert do(issuer.signs_with()) == old
    monkeypatch.setenv("SIGNING_ALGORITHM", "ES256")
    said = rotate("activate", "--replaces", "EdDSA", "--execute", *FORCE)
    assert said.out == f"already activated  {new} (ES256)\nretired  {old} (EdDSA)\n"
    assert do(issuer.signs_with()) == new


def test_algorithm_is_not_replaced_while_a_replica_does_not_accept_the_new_one(
    rotate: Rotate, issuer: Issuer, issuer_database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, es256 = do(issuer.mint_key(age=DAY)), Issuer(issuer.url, algorithm="ES256")
    # Created by the issuer itself, for a pin.
    new = do(es256.mint_key(age=HOUR))
    do(report(issuer_database.app, old, new))
    monkeypatch.setenv("SIGNING_ALGORITHM", "ES256")
    replace = ["activate", "--replaces", "EdDSA", "--execute", "--wait", "0s"]
    said = rotate(*replace)
    assert (said.code, "accepts no ES256 tokens" in said.err) == (1, True)
    assert do(issuer.signs_with()) == old
    do(report(issuer_database.app, old, new, algorithms="{EdDSA,ES256}"))
    assert rotate(*replace).code == 0
    assert do(issuer.signs_with()) == new


def test_routine_rotation_leaves_the_keys_of_other_algorithms_alone(
    rotate: Rotate, issuer: Issuer
) -> None:
    old, other = do(issuer.mint_key(age=31 * DAY)), add(rotate, "ES256")
    new = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]
    for command in (["activate", *FORCE], ["retire"], ["prune", old, *FORCE]):
        assert rotate(*command, "--execute").code == 0
        assert do(issuer.signs_with()) == do(issuer.signs_with("EdDSA")) == new
        assert do(issuer.signs_with("ES256")) == other
    assert do(issuer.serves()) == {new, other}
    assert "ES256 keys sign where that algorithm is asked for, but are not" in rotate("status").err


def test_timer_rotates_every_algorithm_of_the_setting(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = do(issuer.mint_key(age=31 * DAY))
    es256 = Issuer(issuer.url, algorithm="ES256")
    other = do(es256.mint_key(age=31 * DAY))
    monkeypatch.setenv("SIGNING_ALGORITHM", "EdDSA, ES256")
    spans = ["--learning-time", "1s", "--publish-ahead", "1s", "--json"]
    steps = rotate("run", "--execute", *spans).json["steps"]
    assert sorted((step["verb"], step["algorithm"]) for step in steps) == [
        ("publish", "ES256"),
        ("publish", "EdDSA"),
    ]
    new = {step["algorithm"]: step["kid"] for step in steps}

    async def until_due() -> None:
        async with asyncio.timeout(20):
            while await issuer.signs_with() == old or await issuer.signs_with("ES256") == other:
                said = await asyncio.to_thread(rotate, "run", "--execute", *spans)
                assert said.code in {0, 3}

    do(until_due())
    active, over = "active", "deactivated"
    found = {old: over, other: over, new["EdDSA"]: active, new["ES256"]: active}
    assert states(rotate) == found
    assert rotate("run", "--execute").code == 3


def test_refused_algorithm_does_not_delay_the_others(
    rotate: Rotate, issuer: Issuer, issuer_database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = do(issuer.mint_key(age=31 * DAY))
    monkeypatch.setenv("SIGNING_ALGORITHM", "ES256,EdDSA")
    spans = ["--learning-time", "1s", "--publish-ahead", "1s", "--wait", "0s", "--json"]
    steps = rotate("run", "--execute", *spans).json["steps"]
    new = {step["algorithm"]: step["kid"] for step in steps}
    do(report(issuer_database.app, old, *new.values()))

    async def until_due() -> list[Result]:
        await pass_a_second(issuer)
        return [await asyncio.to_thread(rotate, "run", "--execute", *spans) for _ in range(2)]

    first, second = do(until_due())
    assert (first.code, "accepts no ES256 tokens" in first.err) == (1, True)
    assert [step["kid"] for step in first.json["steps"]] == [new["EdDSA"], old]
    assert (second.code, second.out, "nothing was changed" in second.err) == (1, "", True)
    assert do(issuer.signs_with("EdDSA")) == new["EdDSA"]
    do(report(issuer_database.app, *new.values(), algorithms="{EdDSA,ES256}"))
    assert rotate("run", "--execute", *spans).code == 0
    assert do(issuer.signs_with("ES256")) == new["ES256"]


def test_status_groups_keys_by_algorithm(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = do(issuer.mint_key(age=DAY)), add(rotate, "ES256")
    waiting = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]
    monkeypatch.setenv("SIGNING_ALGORITHM", "ES256,EdDSA,RS256")
    lines = rotate("status").out.splitlines()
    assert [line.split()[0] if line else "" for line in lines] == [
        "KID",
        other,
        "publish",
        "",
        first,
        waiting,
        "",
        "publish",
    ]
    assert lines[2].startswith("publish a new ES256 key from")
    assert lines[-1] == "publish a new RS256 key now"
    said = rotate("status", "--json").json
    assert [step["algorithm"] for step in said["next"]] == ["RS256", "ES256"]


@pytest.mark.parametrize(
    ("algorithm", "bits"),
    [("EdDSA", 0), ("ES256", 0), ("ES512", 0), ("RS256", 2048), ("RS256", 4096), ("PS256", 3072)],
)
def test_key_of_every_algorithm_is_one_that_the_issuer_signs_with(
    rotate: Rotate, issuer: Issuer, algorithm: str, bits: int
) -> None:
    do(issuer.mint_key(age=DAY))
    size = ["--rsa-bits", str(bits)] if bits else []
    rotate("publish", "--algorithm", algorithm, *size, "--execute")
    assert rotate("activate", "--algorithm", algorithm, "--execute", *FORCE).code == 0
    token = do(issuer.sign({"sub": "ada"}, algorithm))
    signing = do(issuer.signs_with(algorithm))
    (jwk,) = [key for key in do(issuer.jwks()) if key["kid"] == signing]
    assert jwk["alg"] == algorithm
    assert len(jwk.get("n", "")) * 6 // 8 * 8 in range(bits - 8, bits + 9)
    assert token.count(".") == 2
