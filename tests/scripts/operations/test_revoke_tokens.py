"""`revoke-tokens`: revoke here and at Better Auth, and record it."""

import asyncio
import json
from typing import Any

import pytest

from scripts.operations.revoke_tokens import main
from tests.conftest import DatabaseUrls
from tests.simulators.jwks_table import connected

WHY = ["--reason", "left the company"]


@pytest.fixture
def auth(issuer_database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch) -> str:
    """Better Auth's database: two sessions of one user and one of another."""

    async def make() -> None:
        async with connected(issuer_database.auth) as connection:
            await connection.execute(
                """
                CREATE TABLE session (id text PRIMARY KEY, "userId" text NOT NULL);
                INSERT INTO session VALUES ('s-1', 'ada'), ('s-2', 'ada'), ('s-3', 'bob');
                """
            )

    asyncio.run(make())
    monkeypatch.setenv("AUTH_DATABASE_URL", issuer_database.auth)
    return issuer_database.auth


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    async def ask() -> list[tuple[Any, ...]]:
        async with connected(url) as connection:
            return [tuple(row) for row in await connection.fetch(query)]

    return asyncio.run(ask())


def sessions(url: str) -> list[str]:
    return [row[0] for row in rows(url, "SELECT id FROM session ORDER BY id")]


def revoked(url: str) -> list[tuple[Any, ...]]:
    return rows(url, "SELECT kind, value, reason FROM public.token_revocations ORDER BY id")


def test_preview_changes_nothing(auth: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--subject", "ada", *WHY]) == 0
    assert capsys.readouterr().out == "would revoke  tokens of subject ada, 2 sessions ended\n"
    assert (sessions(auth), revoked(auth)) == (["s-1", "s-2", "s-3"], [])


def test_subject_is_cut_off_with_all_sessions(
    auth: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--subject", "ada", *WHY, "--execute", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "executed": True,
        "kind": "subject",
        "value": "ada",
        "sessions": 2,
    }
    assert sessions(auth) == ["s-3"]
    assert revoked(auth) == [("subject", "ada", "left the company")]


def test_entry_is_kept_for_the_lifetime_of_a_session(
    auth: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for lifetime in ("30d", "1h", ""):
        monkeypatch.setenv("SESSION_LIFETIME", lifetime)
        assert main(["--session", "s-1", *WHY, "--execute"]) == 0
    found = rows(auth, "SELECT session_lifetime FROM public.token_revocations ORDER BY id")
    assert [row[0].days for row in found] == [30, 1, 7]
    monkeypatch.setenv("SESSION_LIFETIME", "401d")
    assert main(["--session", "s-2", *WHY, "--execute"]) == 2
    assert "SESSION_LIFETIME: must be" in capsys.readouterr().err


def test_session_is_cut_off_alone(auth: str) -> None:
    assert main(["--session", "s-1", *WHY, "--execute"]) == 0
    assert sessions(auth) == ["s-2", "s-3"]
    assert revoked(auth) == [("session", "s-1", "left the company")]


def test_everyone_is_cut_off_and_signed_in_still(
    auth: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--list"]) == 3
    assert main(["--everyone", *WHY, "--execute"]) == 0
    assert sessions(auth) == ["s-1", "s-2", "s-3"]
    assert revoked(auth) == [("everyone", "", "left the company")]
    capsys.readouterr()
    assert main(["--list"]) == 0
    assert "everyone  by " in capsys.readouterr().out


def test_replicas_hear_of_it(auth: str, issuer_database: DatabaseUrls) -> None:
    async def hear() -> None:
        heard = asyncio.Event()
        async with connected(issuer_database.app) as connection:
            await connection.add_listener("token_revocations", lambda *_: heard.set())
            await asyncio.to_thread(main, ["--subject", "ada", *WHY, "--execute"])
            async with asyncio.timeout(5):
                await heard.wait()

    asyncio.run(hear())
    assert sessions(auth) == ["s-3"]


USAGE = {
    "nobody": WHY,
    "two at once": ["--subject", "ada", "--everyone", *WHY],
    "without a reason": ["--subject", "ada"],
    "a reason of two lines": ["--subject", "ada", "--reason", "a\nb"],
    "an empty user": ["--subject", "", *WHY],
    "an endless user": ["--subject", "a" * 256, *WHY],
    "an empty session": ["--session", "", *WHY],
}


@pytest.mark.usefixtures("auth")
@pytest.mark.parametrize("case", USAGE)
def test_usage_is_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main([*USAGE[case], "--execute"])
    except SystemExit as end:
        code = int(str(end.code))
    said = capsys.readouterr()
    assert (code, said.out, said.err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("url", "code", "line"),
    [
        ("", 2, "AUTH_DATABASE_URL: not set"),
        ("postgresql://auth:hunter2@127.0.0.1:1/x", 1, "cannot reach the database"),
        ("{app}", 1, "nothing was changed"),
    ],
)
def test_failure_is_one_line(
    url: str,
    code: int,
    line: str,
    issuer_database: DatabaseUrls,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", url.format(app=issuer_database.app))
    assert main(["--subject", "ada", *WHY, "--execute"]) == code
    said = capsys.readouterr()
    assert line in said.err
    assert (said.err.count("\n"), "hunter2" in said.err) == (1, False)
