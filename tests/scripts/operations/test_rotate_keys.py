"""`rotate-keys`, used like an operator does, on Better Auth's table."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from better_auth_keys import Signer
from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from better_auth_keys.testing import HttpIssuer, Reply
from scripts.operations.rotate_keys.command import main
from scripts.operations.rotate_keys.target import Served
from tests.conftest import DatabaseUrls, PostgresServer
from tests.simulators.jwks_table import SECRET, Issuer, connected

FORCE = ["--force", "--reason", "a test"]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Said:
    """The result of a run of the command."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Rotate = Callable[..., Said]
T = TypeVar("T")


@pytest.fixture
def issuer(issuer_database: DatabaseUrls) -> Issuer:
    return Issuer(issuer_database.auth)


@pytest.fixture
def rotate(
    issuer_database: DatabaseUrls,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Rotate:
    monkeypatch.chdir(tmp_path)
    for name in (
        "BETTER_AUTH_SECRETS",
        "OLD_BETTER_AUTH_SECRET",
        "OLD_BETTER_AUTH_SECRETS",
        "SIGNING_ALGORITHM",
        "ACCESS_TOKEN_LIFETIME",
        "BETTER_AUTH_URL",
        "JWKS_URL",
        "SIGNING_KEYS_URL",
        "PINNED_KEYS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AUTH_DATABASE_URL", issuer_database.auth)
    monkeypatch.setenv("DATABASE_URL", issuer_database.app)
    monkeypatch.setenv("BETTER_AUTH_SECRET", SECRET)
    monkeypatch.setenv("JWKS_GRACE_PERIOD", "30d")

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(str(end.code))
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        for secret in (SECRET, issuer_database.auth, '"d"', "PRIVATE"):
            assert secret not in said.out + said.err
        return Said(code, said.out, said.err)

    return run


def do(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def events(url: str) -> list[tuple[str, str, str]]:
    async with connected(url) as connection:
        rows = await connection.fetch("SELECT * FROM public.signing_key_events ORDER BY id")
    return [(row["verb"], row["kid"], row["reason"]) for row in rows]


def states(rotate: Rotate) -> dict[str, str]:
    return {key["kid"]: key["state"] for key in rotate("status", "--json").json["keys"]}


def test_whole_rotation(rotate: Rotate, issuer: Issuer, issuer_database: DatabaseUrls) -> None:
    old = do(issuer.mint_key(age=DAY))
    said = rotate("publish", "--execute", "--json")
    assert (said.code, said.json["executed"]) == (0, True)
    new = said.json["steps"][0]["kid"]
    assert do(issuer.signs_with()) == old
    assert do(issuer.serves()) == {old, new}

    refused = rotate("activate", "--execute")
    assert (refused.code, refused.out) == (1, "")
    assert "published for 15 min (--publish-ahead) before it replaces another" in refused.err
    assert re.search(r": wait until [\d-]{10} \d\d:\d\d UTC; nothing was changed$", refused.err)
    assert refused.err.count("\n") == 1
    assert do(issuer.signs_with()) == old

    assert rotate("activate", "--execute", *FORCE).code == 0
    assert do(issuer.signs_with()) == new
    assert rotate("retire", "--execute").code == 0
    assert states(rotate) == {old: "deactivated", new: "active"}
    assert rotate("prune", "--execute").code == 3
    assert rotate("prune", old, "--execute").code == 1
    assert rotate("prune", old, "--execute", *FORCE).code == 0
    assert do(issuer.serves()) == {new}
    assert do(events(issuer_database.auth)) == [
        ("publish", new, "routine"),
        ("activate", new, "a test"),
        ("retire", old, "routine"),
        ("prune", old, "a test"),
    ]


def test_preview_changes_nothing(rotate: Rotate, issuer: Issuer) -> None:
    kid = do(issuer.mint_key(age=31 * DAY))
    rotate("publish", "--execute")
    before = do(issuer.rows())
    for command in (
        ["publish", "--algorithm", "ES256"],
        ["activate", *FORCE],
        ["revoke", kid, "--reason", "x"],
        ["run"],
    ):
        said = rotate(*command)
        assert said.code in {0, 3}, command
        assert "would" in said.out or said.code == 3
        assert do(issuer.rows()) == before


def test_run_does_what_is_due_and_nothing_else(rotate: Rotate, issuer: Issuer) -> None:
    old = do(issuer.mint_key(age=31 * DAY))
    spans = ["--learning-time", "1s", "--publish-ahead", "1s", "--json"]
    (step,) = rotate("run", "--execute", *spans).json["steps"]
    assert step["verb"] == "publish"

    async def until_due() -> None:
        async with asyncio.timeout(10):
            while await issuer.signs_with() == old:
                said = await asyncio.to_thread(rotate, "run", "--execute", *spans)
                assert said.code in {0, 3}

    do(until_due())
    assert states(rotate) == {old: "deactivated", step["kid"]: "active"}
    assert rotate("run", "--execute").code == 3


def add(rotate: Rotate, algorithm: str) -> str:
    """Publish and activate a key of another algorithm."""
    chosen = ["--algorithm", algorithm, "--execute"]
    kid = str(rotate("publish", *chosen, "--json").json["steps"][0]["kid"])
    assert rotate("activate", *chosen, *FORCE).code == 0
    return kid


def test_change_of_algorithm_is_asked_for_and_holds_whatever_the_issuer_is_set_to(
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


def test_key_that_signs_already_may_replace_the_keys_of_another_algorithm(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = do(issuer.mint_key(age=DAY))
    new = add(rotate, "ES256")
    assert do(issuer.signs_with()) == old
    monkeypatch.setenv("SIGNING_ALGORITHM", "ES256")
    said = rotate("activate", "--replaces", "EdDSA", "--execute", *FORCE)
    assert said.out == f"already activated  {new} (ES256)\nretired  {old} (EdDSA)\n"
    assert do(issuer.signs_with()) == new


def test_replica_that_does_not_take_the_algorithm_keeps_another_from_being_ended(
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


def test_algorithm_that_is_refused_holds_up_no_other(
    rotate: Rotate, issuer: Issuer, issuer_database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = do(issuer.mint_key(age=31 * DAY))
    monkeypatch.setenv("SIGNING_ALGORITHM", "ES256,EdDSA")
    spans = ["--learning-time", "1s", "--publish-ahead", "1s", "--wait", "0s", "--json"]
    steps = rotate("run", "--execute", *spans).json["steps"]
    new = {step["algorithm"]: step["kid"] for step in steps}
    do(report(issuer_database.app, old, *new.values()))

    async def until_due() -> list[Said]:
        async with connected(issuer.url) as connection:
            await connection.execute("SELECT pg_sleep(1.1)")
        return [await asyncio.to_thread(rotate, "run", "--execute", *spans) for _ in range(2)]

    first, second = do(until_due())
    assert (first.code, "accepts no ES256 tokens" in first.err) == (1, True)
    assert [step["kid"] for step in first.json["steps"]] == [new["EdDSA"], old]
    assert (second.code, second.out, "nothing was changed" in second.err) == (1, "", True)
    assert do(issuer.signs_with("EdDSA")) == new["EdDSA"]
    do(report(issuer_database.app, *new.values(), algorithms="{EdDSA,ES256}"))
    assert rotate("run", "--execute", *spans).code == 0
    assert do(issuer.signs_with("ES256")) == new["ES256"]


def test_pinned_key_is_kept_through_a_rotation(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = do(issuer.mint_key(age=31 * DAY))
    monkeypatch.setenv("PINNED_KEYS", f"{pinned}, ")
    rotate("publish", "--execute")
    assert rotate("activate", "--execute", *FORCE).code == 0
    assert do(issuer.signs_with()) != pinned
    for command in (["retire"], ["run"], ["prune"]):
        assert rotate(*command, "--execute").code == 3
    for command in (["retire", pinned], ["revoke", pinned, "--reason", "x"]):
        said = rotate(*command, "--execute")
        assert (said.code, f"key {pinned} is pinned (PINNED_KEYS)" in said.err) == (1, True)
    (key,) = [key for key in rotate("status", "--json").json["keys"] if key["kid"] == pinned]
    assert (key["pinned"], key["next"], key["safe_to_remove_at"]) == (True, None, None)
    add(rotate, "ES256")
    monkeypatch.setenv("SIGNING_ALGORITHM", "ES256")
    replace = ["activate", "--replaces", "EdDSA", "--execute"]
    assert do(issuer.can_sign(pinned))
    monkeypatch.setenv("PINNED_KEYS", pinned)
    spans = ["--learning-time", "1s", "--publish-ahead", "1s"]

    async def until_known() -> None:
        async with connected(issuer.url) as connection:
            await connection.execute("SELECT pg_sleep(1.1)")

    do(until_known())
    said = rotate(*replace, *spans)
    assert (said.code, f"key {pinned} is pinned" in said.err) == (1, True)
    assert do(issuer.can_sign(pinned))


def test_leaked_pinned_key_is_revoked_by_force_and_what_that_means_is_said(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = do(issuer.mint_key(age=DAY))
    monkeypatch.setenv("PINNED_KEYS", pinned)
    refused = rotate("revoke", pinned, "--reason", "leaked", "--execute")
    assert (refused.code, "or revoke this one at once with --force" in refused.err) == (1, True)
    said = rotate("revoke", pinned, "--reason", "leaked", "--execute", "--force")
    assert (said.code, f"revoked  {pinned} (EdDSA)" in said.out) == (0, True)
    assert "issues no token where signingKeyId names it, until you change it" in said.err
    assert not do(issuer.can_sign(pinned))
    assert "is pinned (PINNED_KEYS) but cannot sign" in rotate("status").err


def test_revoking_the_active_key_of_one_algorithm_has_another_of_it_sign(
    rotate: Rotate, issuer: Issuer
) -> None:
    first, stolen = do(issuer.mint_key(age=DAY)), add(rotate, "ES256")
    assert rotate("revoke", stolen, "--reason", "leaked", "--execute").code == 0
    assert do(issuer.signs_with()) == first
    successor = do(issuer.signs_with("ES256"))
    assert successor not in {stolen, None}
    assert do(issuer.serves()) == {first, successor}


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
    assert lines[2].startswith("publish a key of ES256 from")
    assert lines[-1] == "publish a key of RS256 now"
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


def test_revoking_the_key_that_signs_has_another_sign(
    rotate: Rotate, issuer: Issuer, issuer_database: DatabaseUrls
) -> None:
    stolen = do(issuer.mint_key(age=DAY))
    standby = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]
    assert rotate("revoke", stolen, "--execute").code == 2
    assert rotate("revoke", stolen, "--reason", "leaked", "--execute").code == 0
    assert do(issuer.serves()) == {standby}
    assert do(issuer.signs_with()) == standby
    again = rotate("revoke", stolen, "--reason", "leaked", "--execute", "--force")
    assert (again.code, again.out) == (0, f"already revoked  {stolen}\n")
    # No key is waiting now: a new key is published and activated in the same transaction.
    assert rotate("revoke", standby, "--reason", "leaked", "--execute").code == 0
    fresh = do(issuer.signs_with())
    assert do(issuer.serves()) == {fresh}
    assert [verb for verb, _, _ in do(events(issuer_database.auth))] == [
        "publish",
        "activate",
        "revoke",
        "publish",
        "activate",
        "revoke",
    ]


def test_successor_of_a_revoked_key_has_the_algorithm_that_everybody_takes(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stolen = do(issuer.mint_key(age=DAY))
    # During a change of algorithm: the new key is waiting, and not every replica accepts it.
    monkeypatch.setenv("SIGNING_ALGORITHM", "ES256")
    rotate("publish", "--execute")
    rotate("revoke", stolen, "--reason", "leaked", "--execute")
    (jwk,) = [key for key in do(issuer.jwks()) if key["kid"] == do(issuer.signs_with())]
    assert jwk["alg"] == "EdDSA"


def test_revoking_the_key_that_signs_is_refused_with_another_secret_than_the_issuers(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kid = do(issuer.mint_key(age=DAY))
    monkeypatch.setenv("BETTER_AUTH_SECRET", "x" * 40)
    said = rotate("revoke", kid, "--reason", "leaked", "--execute")
    assert (said.code, "of no use to the issuer" in said.err) == (1, True)
    assert do(issuer.signs_with()) == kid


def test_standby_that_leaked_too_does_not_come_to_sign(rotate: Rotate, issuer: Issuer) -> None:
    stolen = do(issuer.mint_key(age=DAY))
    standby = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]
    assert rotate("revoke", stolen, standby, "--reason", "the secret leaked", "--execute").code == 0
    assert do(issuer.signs_with()) not in {stolen, standby, None}


def test_key_that_the_issuer_could_not_open_does_not_come_to_sign(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kid = do(issuer.mint_key(age=DAY))
    monkeypatch.setenv("BETTER_AUTH_SECRETS", "2:another-secret-of-the-issuer-01234567")
    new = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]
    monkeypatch.delenv("BETTER_AUTH_SECRETS")
    said = rotate("activate", new, "--execute", *FORCE)
    assert (said.code, "run reencrypt" in said.err) == (1, True)
    assert do(issuer.signs_with()) == kid


async def report(url: str, *kids: str, algorithms: str = "{EdDSA,RS256}") -> None:
    async with connected(url) as connection:
        await connection.execute("DELETE FROM public.service_replicas")
        await connection.execute(
            "INSERT INTO public.service_replicas VALUES ('replica', $1, $2::text::text[], true)",
            [*kids],
            algorithms,
        )


def test_key_that_a_replica_does_not_take_is_not_activated(
    rotate: Rotate, issuer: Issuer, issuer_database: DatabaseUrls
) -> None:
    app, old = issuer_database.app, do(issuer.mint_key(age=DAY))
    spans = ["--learning-time", "1s", "--publish-ahead", "1s", "--wait", "0s"]
    new = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]

    async def until_due() -> None:
        async with connected(issuer.url) as connection:
            await connection.execute("SELECT pg_sleep(1.1)")

    do(until_due())
    do(report(app, old))
    said = rotate("activate", *spans, "--execute")
    assert (said.code, "replica has not fetched it" in said.err) == (1, True)
    do(report(app, old, new, algorithms="{RS256}"))
    said = rotate("activate", *spans, "--execute")
    assert (said.code, "replica accepts no EdDSA tokens" in said.err) == (1, True)
    assert do(issuer.signs_with()) == old
    do(report(app, old, new))
    assert rotate("activate", *spans, "--execute").code == 0
    assert do(issuer.signs_with()) == new


def test_key_that_the_issuer_does_not_serve_is_not_activated(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = do(issuer.mint_key(age=DAY))
    rotate("publish", "--execute")

    async def nothing(_target: object) -> Served:
        return Served(frozenset())

    async def a_second_passes() -> None:
        async with connected(issuer.url) as connection:
            await connection.execute("SELECT pg_sleep(1.1)")

    monkeypatch.setattr("scripts.operations.rotate_keys.target.Target.served", nothing)
    do(a_second_passes())
    said = rotate("activate", "--learning-time", "1s", "--publish-ahead", "1s", "--execute")
    assert (said.code, "the issuer does not serve key" in said.err) == (1, True)
    assert do(issuer.signs_with()) == old


async def test_served_key_that_no_verifier_takes_is_in_the_status(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = await issuer.mint_key()
    weak = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "kid": "weak", "alg": "EdDSA"}
    async with HttpIssuer() as server:
        server.reply = Reply(body=json.dumps({"keys": [weak, *await issuer.jwks()]}).encode())
        monkeypatch.setenv("JWKS_URL", server.jwks_url)
        said = await asyncio.to_thread(rotate, "status", "--json")
    assert [(key["kid"], key["served"]) for key in said.json["keys"]] == [(usual, True)]
    assert "the issuer serves an unusable key: weak (weak)" in said.json["warnings"]


def test_mistyped_kid_is_not_revoked_unless_forced(rotate: Rotate, issuer: Issuer) -> None:
    do(issuer.mint_key())
    said = rotate("revoke", "mistyped", "--reason", "x", "--execute")
    assert (said.code, "there is no key mistyped" in said.err) == (1, True)
    assert rotate("revoke", "long-gone", "--reason", "x", "--execute", "--force").code == 0


def test_revoked_key_from_a_backup_is_taken_out_again(rotate: Rotate, issuer: Issuer) -> None:
    stolen = do(issuer.mint_key(age=DAY))
    backup = do(issuer.rows())
    rotate("revoke", stolen, "--reason", "leaked", "--execute")

    async def restore() -> None:
        async with connected(issuer.url) as connection:
            await connection.execute("DELETE FROM jwks")
            await connection.executemany(
                "INSERT INTO jwks VALUES ($1, $2, $3, $4, $5, $6, $7)",
                [tuple(row.values()) for row in backup],
            )

    do(restore())
    assert do(issuer.signs_with()) == stolen
    said = rotate("status")
    assert "compromised" in said.out
    assert "was revoked but is in the table again" in said.err
    assert rotate("run", "--execute").code == 0
    assert do(issuer.signs_with()) not in {stolen, None}
    assert stolen not in do(issuer.serves())


@pytest.mark.parametrize("count", [101, pytest.param(130, marks=pytest.mark.slow)])
def test_table_of_over_a_hundred_rows_is_made_to_fit(
    rotate: Rotate, issuer: Issuer, count: int
) -> None:
    kids = do(issuer.mint_keys((count - n) * DAY for n in range(count)))
    signed_with = do(issuer.signs_with())
    assert signed_with != kids[-1], "the trap: the newest is not even read"
    said = rotate("status")
    assert f"there are {count} keys, and Better Auth reads only 100 of them" in said.err
    assert "prune first" in rotate("publish", "--execute").err
    assert rotate("prune", "--execute").code == 0
    served = do(issuer.serves())
    assert len(served) == 80
    assert signed_with in served, "its tokens may be good"
    assert do(issuer.signs_with()) == kids[-1]
    # The other keys follow the plan: retired now, and pruned when their tokens have expired.
    assert rotate("run", "--execute").code == 0
    assert signed_with in do(issuer.serves())
    assert list(states(rotate).values()) == ["deactivated"] * 79 + ["active"]


def test_changed_secret(rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    kid = do(issuer.mint_key(age=DAY))
    new = "another-secret-of-the-issuer-01234567"
    monkeypatch.setenv("BETTER_AUTH_SECRETS", f"2:{new}")
    # Versioned secrets also decrypt what was encrypted with the plain one before.
    said = rotate("reencrypt", "--execute")
    assert (said.code, said.out) == (0, f"re-encrypted  {kid}\n")
    assert rotate("reencrypt", "--execute").code == 3
    changed = Issuer(issuer.url, secrets=IssuerSecrets.parse(None, f"2:{new}"))
    assert do(changed.signs_with()) == kid
    # Change back to a plain secret: the keys can only be decrypted with the old secrets.
    monkeypatch.delenv("BETTER_AUTH_SECRETS")
    assert "the given secret does not decrypt it" in rotate("status").err
    refused = rotate("reencrypt", "--execute")
    assert (refused.code, "opens with neither" in refused.err) == (1, True)
    monkeypatch.setenv("OLD_BETTER_AUTH_SECRETS", f"2:{new}")
    assert rotate("reencrypt", "--execute").code == 0
    assert do(issuer.signs_with()) == kid
    assert do(issuer.sign({"sub": "ada"})).count(".") == 2


def test_one_key_that_does_not_open_leaves_all_as_they_were(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(issuer.mint_key(age=DAY))
    stranger = Issuer(issuer.url, secrets=IssuerSecrets("nobody knows this secret any more 0123"))
    do(stranger.mint_key(age=2 * DAY))
    before = do(issuer.rows())
    monkeypatch.setenv("OLD_BETTER_AUTH_SECRET", SECRET)
    monkeypatch.setenv("BETTER_AUTH_SECRET", "another-secret-of-the-issuer-01234567")
    assert rotate("reencrypt", "--execute").code == 1
    assert do(issuer.rows()) == before


FAILURES: dict[str, tuple[dict[str, str], int, str]] = {
    "nobody there": (
        {"AUTH_DATABASE_URL": "postgresql://auth:hunter2@127.0.0.1:1/x"},
        1,
        "cannot reach the database",
    ),
    "no URL": ({"AUTH_DATABASE_URL": ""}, 2, "AUTH_DATABASE_URL: not set"),
    "no secret": ({"BETTER_AUTH_SECRET": ""}, 2, "BETTER_AUTH_SECRET (or"),
    "wrong secret": ({"BETTER_AUTH_SECRET": "x" * 40}, 1, "the given secret does not decrypt it"),
    "versions that are none": ({"BETTER_AUTH_SECRETS": "hunter2"}, 2, "entry 1 is not"),
    "no grace period": ({"JWKS_GRACE_PERIOD": ""}, 2, "JWKS_GRACE_PERIOD: not set"),
    "a span without unit": ({"JWKS_GRACE_PERIOD": "30"}, 2, "such as 90s"),
    "tokens that outlive their key": ({"ACCESS_TOKEN_LIFETIME": "2h"}, 2, "keep-verifying must"),
    "an unknown algorithm": ({"SIGNING_ALGORITHM": "HS256"}, 2, "must be among EdDSA"),
    "an unknown one among others": ({"SIGNING_ALGORITHM": "EdDSA,HS256"}, 2, "must be among EdDSA"),
    "a list of none": ({"SIGNING_ALGORITHM": ","}, 2, "must be among EdDSA"),
    "one twice": ({"SIGNING_ALGORITHM": "EdDSA,Ed25519"}, 2, "SIGNING_ALGORITHM: an algorithm is"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failure_is_one_line_and_changes_nothing(
    case: str, rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, code, line = FAILURES[case]
    do(issuer.mint_key())
    before = do(issuer.rows())
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    said = rotate("publish", "--execute")
    assert (said.code, said.out) == (code, "")
    (*warnings, last) = said.err.splitlines()
    assert line in last
    assert all("warning: DATABASE_URL" in warning for warning in warnings)
    assert "hunter2" not in said.err
    assert do(issuer.rows()) == before


def test_empty_table_is_left_to_the_issuer(rotate: Rotate, issuer: Issuer) -> None:
    for command in ("publish", "activate", "run", "retire"):
        said = rotate(command, "--execute")
        assert said.code == 1, command
        assert said.err.count("\n") == 1
    assert do(issuer.rows()) == []
    assert "no key signs" in rotate("status").err


def test_missing_tables_are_named_with_what_to_run(
    rotate: Rotate, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = do(postgres.make_database("without_tables"))
    monkeypatch.setenv("AUTH_DATABASE_URL", urls.auth)
    monkeypatch.delenv("DATABASE_URL")
    assert "start the app with Better Auth once" in rotate("status").err
    do(Issuer(urls.auth).make_table())
    assert "run migrate --execute" in rotate("status").err


def test_other_database_is_noticed(
    rotate: Rotate, issuer: Issuer, database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    kid = do(issuer.mint_key())
    monkeypatch.setenv("DATABASE_URL", database.app)
    assert "name different databases" in rotate("status").err
    assert rotate("publish", "--execute").code == 0
    said = rotate("revoke", kid, "--reason", "leaked", "--execute")
    assert (said.code, do(issuer.signs_with())) == (1, kid)


def test_variable_named_file_alone_is_nobodys(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    do(issuer.mint_key())
    (tmp_path / "other").write_text("hunter2")
    monkeypatch.setenv("_FILE", str(tmp_path / "other"))
    assert rotate("status").code == 0


def test_settings_of_a_rotation_may_be_in_files(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    do(issuer.mint_key())
    for name in ("AUTH_DATABASE_URL", "BETTER_AUTH_SECRET", "JWKS_GRACE_PERIOD"):
        (tmp_path / name).write_text(f"{os.environ[name]}\n")
        monkeypatch.delenv(name)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    assert rotate("publish", "--execute").code == 0


USAGE: dict[str, list[str]] = {
    "no command": [],
    "an unknown one": ["rotate"],
    "a KID where none belongs": ["publish", "kid"],
    "two KIDs": ["retire", "a", "b"],
    "force without a reason": ["publish", "--force"],
    "a reason of two lines": ["publish", "--reason", "a\nb"],
    "a reason without end": ["publish", "--reason", "a" * 501],
    "a wait without a unit": ["activate", "--wait", "5"],
    "a replacement without activate": ["retire", "--replaces", "ES256"],
    "a replacement of what is unknown": ["activate", "--replaces", "HS256"],
    "a replacement of what is still signed with": ["activate", "--replaces", "EdDSA"],
    "a policy that locks users out": ["run", "--publish-ahead", "1m"],
    "an option cut short": ["publish", "--exec"],
}


@pytest.mark.parametrize("case", USAGE)
def test_usage_is_one_line(case: str, rotate: Rotate) -> None:
    said = rotate(*USAGE[case])
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)


def test_two_operators_at_once_are_one_and_one_who_is_told_so(
    rotate: Rotate, issuer: Issuer
) -> None:
    do(issuer.mint_key(age=DAY))
    kid = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]
    command = [
        sys.executable,
        "-m",
        "scripts.operations.rotate_keys.command",
        "activate",
        kid,
        "--execute",
        *FORCE,
    ]
    root = Path(__file__).resolve().parents[3]
    both = [
        subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = sorted(process.communicate(timeout=60)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said == [f"activated  {kid} (EdDSA)\n", f"already activated  {kid} (EdDSA)\n"]


def test_fault89_publish_adds_no_key_while_one_of_the_algorithm_waits(
    rotate: Rotate, issuer: Issuer
) -> None:
    do(issuer.mint_key(age=DAY))
    kid = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]
    before = do(issuer.rows())
    for arguments in (["--execute"], [], ["--execute", *FORCE]):
        said = rotate("publish", *arguments)
        assert (said.code, said.out) == (0, f"already published  {kid} (EdDSA)\n")
        (step,) = rotate("publish", *arguments, "--json").json["steps"]
        assert (step["verb"], step["kid"], step["already"]) == ("publish", kid, True)
    assert do(issuer.rows()) == before
    # Another algorithm has a key of its own, and the next key follows once this one signs.
    assert rotate("publish", "--algorithm", "ES256", "--execute").out.startswith("published")
    assert rotate("activate", "--execute", *FORCE).code == 0
    assert rotate("publish", "--execute").out.startswith("published")


def test_issuers_secret_is_needed_to_make_a_key_usable_and_not_to_look(
    rotate: Rotate, issuer: Issuer
) -> None:
    clear = Issuer(issuer.url, secrets=IssuerSecrets())
    do(clear.mint_key(age=DAY))
    assert "NO" in rotate("status").out
    assert rotate("publish", "--execute").code == 1


def test_unencrypted_keys_have_to_be_asked_for(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear = Issuer(issuer.url, secrets=IssuerSecrets())
    do(clear.mint_key(age=DAY))
    assert rotate("publish", "--unencrypted", "--execute").code == 2
    monkeypatch.delenv("BETTER_AUTH_SECRET")
    kid = rotate("publish", "--unencrypted", "--execute", "--json").json["steps"][0]["kid"]
    rotate("activate", "--unencrypted", "--execute", *FORCE)
    assert do(clear.signs_with()) == kid


def test_key_file_takes_the_same_verbs(rotate: Rotate, tmp_path: Path) -> None:
    path = tmp_path / "signing-keys.json"
    arguments = ["--file", str(path)]
    assert "no key signs" in rotate("publish", *arguments, "--execute").err
    assert rotate("publish", *arguments, "--execute", *FORCE).code == 0
    first = json.loads((tmp_path / "jwks.json").read_text())["keys"][0]["kid"]
    rotate("publish", *arguments, "--execute")
    assert rotate("activate", *arguments, "--execute").code == 1
    assert rotate("revoke", first, *arguments, "--reason", "x", "--execute").code == 0
    (key,) = json.loads((tmp_path / "jwks.json").read_text())["keys"]
    assert key["kid"] != first
    assert path.stat().st_mode & 0o777 == 0o600
    assert Signer.from_jwk(json.loads(path.read_text())["keys"][0]["jwk"]).kid == key["kid"]
    assert "active" in rotate("status", *arguments).out
    assert rotate("reencrypt", *arguments, "--execute").code == 1
    missing = rotate("status", "--file", str(tmp_path / "nowhere" / "keys.json"))
    assert (missing.code, missing.err.count("\n")) == (2, 1)
