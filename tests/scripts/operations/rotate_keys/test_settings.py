"""`rotate-keys` with wrong settings, databases or arguments: one line, and nothing is changed."""

import os
from pathlib import Path

import pytest

from tests.conftest import DatabaseUrls, PostgresServer
from tests.scripts.operations.rotate_keys.commands import Rotate, do
from tests.simulators.jwks_table import Issuer

FAILURES: dict[str, tuple[dict[str, str], int, str]] = {
    "no server": (
        {"AUTH_DATABASE_URL": "postgresql://auth:hunter2@127.0.0.1:1/x"},
        1,
        "cannot reach the database",
    ),
    "no URL": ({"AUTH_DATABASE_URL": ""}, 2, "AUTH_DATABASE_URL: not set"),
    "no secret": ({"BETTER_AUTH_SECRET": ""}, 2, "BETTER_AUTH_SECRET (or"),
    "wrong secret": ({"BETTER_AUTH_SECRET": "x" * 40}, 1, "the given secret does not decrypt it"),
    "malformed versions": ({"BETTER_AUTH_SECRETS": "hunter2"}, 2, "entry 1 is not"),
    "no grace period": ({"JWKS_GRACE_PERIOD": ""}, 2, "JWKS_GRACE_PERIOD: not set"),
    "a span without unit": ({"JWKS_GRACE_PERIOD": "30"}, 2, "such as 90s"),
    "tokens that outlive their key": ({"ACCESS_TOKEN_LIFETIME": "2h"}, 2, "keep-verifying must"),
    "an unknown algorithm": ({"SIGNING_ALGORITHM": "HS256"}, 2, "must be among EdDSA"),
    "an unknown algorithm among others": (
        {"SIGNING_ALGORITHM": "EdDSA,HS256"},
        2,
        "must be among EdDSA",
    ),
    "an empty list": ({"SIGNING_ALGORITHM": ","}, 2, "must be among EdDSA"),
    "an algorithm twice": (
        {"SIGNING_ALGORITHM": "EdDSA,Ed25519"},
        2,
        "SIGNING_ALGORITHM: an algorithm is",
    ),
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


def test_urls_of_different_databases_are_noticed(
    rotate: Rotate, issuer: Issuer, database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    kid = do(issuer.mint_key())
    monkeypatch.setenv("DATABASE_URL", database.app)
    assert "name different databases" in rotate("status").err
    assert rotate("publish", "--execute").code == 0
    said = rotate("revoke", kid, "--reason", "leaked", "--execute")
    assert (said.code, do(issuer.signs_with())) == (1, kid)


def test_variable_named_only_file_is_ignored(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    do(issuer.mint_key())
    (tmp_path / "other").write_text("hunter2")
    monkeypatch.setenv("_FILE", str(tmp_path / "other"))
    assert rotate("status").code == 0


def test_settings_of_a_rotation_can_be_in_files(
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


def test_usage_names_what_is_missing_and_nothing_else(rotate: Rotate) -> None:
    assert "required: COMMAND;" in rotate().err
    assert "revoke requires a KID and --reason WHY" in rotate("revoke").err
    assert "revoke requires --reason WHY" in rotate("revoke", "kid").err


@pytest.mark.parametrize("case", USAGE)
def test_usage_is_one_line(case: str, rotate: Rotate) -> None:
    said = rotate(*USAGE[case])
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
