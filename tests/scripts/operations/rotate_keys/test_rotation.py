"""Whole rotations with `rotate-keys`, used like an operator does, on Better Auth's table."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from better_auth_keys import Signer
from tests.conftest import DatabaseUrls
from tests.scripts.operations.rotate_keys.commands import (
    DAY,
    FORCE,
    Rotate,
    add,
    do,
    events,
    pass_a_second,
    states,
)
from tests.simulators.jwks_table import Issuer


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


def test_second_of_two_operators_at_once_learns_that_the_key_is_activated(
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
    root = Path(__file__).resolve().parents[4]
    both = [
        subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = sorted(process.communicate(timeout=60)[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert said == [f"activated  {kid} (EdDSA)\n", f"already activated  {kid} (EdDSA)\n"]


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
    do(pass_a_second(issuer))
    said = rotate(*replace, *spans)
    assert (said.code, f"key {pinned} is pinned" in said.err) == (1, True)
    assert do(issuer.can_sign(pinned))


@pytest.mark.parametrize("count", [101, pytest.param(130, marks=pytest.mark.slow)])
def test_table_of_over_a_hundred_rows_is_pruned(rotate: Rotate, issuer: Issuer, count: int) -> None:
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


def test_key_file_takes_the_same_commands(rotate: Rotate, tmp_path: Path) -> None:
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
