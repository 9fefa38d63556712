"""`migrate`: show the migrations by default, apply them with --execute, and report errors."""

import asyncio
import json
import secrets
from pathlib import Path

import asyncpg
import pytest
from alembic import command
from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from scripts.operations.migrate import main
from service.database.url import parse_database_url
from service.migrations import history, runner
from service.migrations.runner import pending, upgrade
from tests.conftest import DatabaseUrls, PostgresServer


@pytest.fixture
def empty(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> DatabaseUrls:
    """A database with roles and without tables, which the command's settings name."""
    urls = asyncio.run(postgres.make_database(f"empty_{secrets.token_hex(4)}"))
    monkeypatch.setenv("MIGRATION_DATABASE_URL", urls.owner)
    monkeypatch.chdir(tmp_path)
    return urls


def tables(urls: DatabaseUrls) -> list[str]:
    async def ask() -> list[str]:
        connection = await asyncpg.connect(urls.owner)
        try:
            rows = await connection.fetch(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
            )
            return [row["tablename"] for row in rows]
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_preview_shows_what_is_pending_and_changes_nothing(
    empty: DatabaseUrls, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("pending  0001 ")
    assert "--execute" in said.err
    assert tables(empty) == []


def test_execute_applies_and_a_second_time_has_nothing_to_do(
    empty: DatabaseUrls, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--execute"]) == 0
    assert capsys.readouterr().out.startswith("applied  0001 ")
    assert {"idempotency_keys", "revoked_keys", "tasks"} <= set(tables(empty))
    assert main(["--execute"]) == 3
    assert main([]) == 3


@pytest.mark.usefixtures("empty")
def test_json_is_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["executed"] is False
    assert [name.partition(" ")[0] for name in said["migrations"]] == [
        "0001",
        "0002",
        "0003",
        "0004",
        "0005",
        "0006",
        "0007",
    ]


def test_url_comes_from_the_file_too(
    empty: DatabaseUrls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MIGRATION_DATABASE_URL")
    assert main([]) == 2
    (tmp_path / ".env").write_text(f"MIGRATION_DATABASE_URL={empty.owner}\n")
    assert main([]) == 0


def test_two_at_once_apply_everything_once(empty: DatabaseUrls) -> None:
    url = parse_database_url(empty.owner)

    async def both() -> tuple[list[str], list[str]]:
        return await asyncio.gather(upgrade(url), upgrade(url))

    assert sorted(len(names) for names in asyncio.run(both())) == [0, 7]
    assert asyncio.run(pending(url)) == []


def test_schema_of_better_auth_is_left_to_those_who_made_its_role(
    empty: DatabaseUrls, postgres: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """The owner cannot create roles here, and Better Auth's tables may be in any schema."""
    superusers = make_url(postgres.superuser_url).set(database=make_url(empty.owner).database)

    async def drop() -> None:
        connection = await asyncpg.connect(superusers.render_as_string(hide_password=False))
        await connection.execute("DROP SCHEMA auth")
        await connection.close()

    asyncio.run(drop())
    assert main(["--execute"]) == 0
    assert capsys.readouterr().out.startswith("applied  0001 ")


def set_revision(urls: DatabaseUrls, revision: str) -> None:
    async def write() -> None:
        connection = await asyncpg.connect(urls.owner)
        await connection.execute("UPDATE alembic_version SET version_num = $1", revision)
        await connection.close()

    asyncio.run(write())


@pytest.mark.parametrize("arguments", [[], ["--execute"], ["--execute", "--json"]])
def test_database_of_a_newer_release_is_left_alone(
    empty: DatabaseUrls, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """After a rollback the old image runs `migrate` first, and must get past it."""
    asyncio.run(upgrade(parse_database_url(empty.owner)))
    set_revision(empty, "0099")
    assert main(arguments) == 3
    said = capsys.readouterr()
    assert said.err.startswith("migrate: the database is at migration 0099 of a newer release")
    assert said.err.count("\n") == 1
    machine = {"executed": True, "migrations": []}
    assert said.out == (f"{json.dumps(machine)}\n" if "--json" in arguments else "")


def test_database_of_another_application_is_refused(
    empty: DatabaseUrls, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(upgrade(parse_database_url(empty.owner)))
    set_revision(empty, "ae1027a6acf0")
    assert main(["--execute"]) == 1
    assert "ae1027a6acf0, which is no migration of this service" in capsys.readouterr().err


def test_run_that_gives_up_fails_and_says_who_holds_the_lock(
    empty: DatabaseUrls, capsys: pytest.CaptureFixture[str]
) -> None:
    def first_only(connection: Connection) -> list[str]:
        config = history.config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        return []

    async def migrate_behind_a_reader() -> tuple[int, int]:
        await runner._read(parse_database_url(empty.owner), first_only)
        reader = await asyncpg.connect(empty.app)
        await reader.execute("BEGIN; SELECT count(*) FROM public.tasks")
        code = await asyncio.to_thread(main, ["--execute", "--give-up-after", "1s"])
        await reader.close()
        return code, reader.get_server_pid()

    code, pid = asyncio.run(migrate_behind_a_reader())
    said = capsys.readouterr()
    assert (code, said.out) == (1, "")
    assert said.err.startswith("migrate: 0002 ")
    assert said.err.endswith("run migrate --execute again\n")
    assert f"{pid} (role app)" in said.err


def test_time_to_give_up_has_a_unit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--execute", "--give-up-after", "5"])
    assert raised.value.code == 2
    assert "--give-up-after" in capsys.readouterr().err


FAILURES = {
    "nobody there": ("postgresql://owner:hunter2@127.0.0.1:1/x", 1, "cannot reach the database"),
    "no URL": ("hunter2", 2, "MIGRATION_DATABASE_URL"),
    "wrong password": ("{owner}", 1, "password authentication failed"),
    "a role that may not": ("{app}", 1, "permission denied"),
}


@pytest.mark.parametrize(("url", "code", "line"), FAILURES.values(), ids=FAILURES)
def test_failure_is_one_line_without_the_password(
    empty: DatabaseUrls,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    url: str,
    code: int,
    line: str,
) -> None:
    password = empty.owner.split(":")[2].partition("@")[0]
    filled = url.format(owner=empty.owner.replace(password, "hunter2"), app=empty.app)
    monkeypatch.setenv("MIGRATION_DATABASE_URL", filled)
    assert main(["--execute"]) == code
    said = capsys.readouterr()
    assert line in said.err
    assert said.err.count("\n") == 1
    assert "hunter2" not in said.err
    assert "Traceback" not in said.err
