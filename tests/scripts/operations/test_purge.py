"""`purge` deletes rows that are no longer needed, and cannot delete others."""

import asyncio
import json
import secrets
from collections.abc import Iterator

import asyncpg
import pytest

from scripts.devstack.postgres.roles import drop_database
from scripts.operations.purge import main
from service.database.execution import Database
from service.database.url import parse_database_url
from service.migrations.runner import upgrade
from service.security.owner import Owner
from service.tasks.repository import TaskRepository
from tests.conftest import DatabaseUrls, PostgresServer

FILL = """
INSERT INTO tasks SELECT owner, gen_random_uuid(), 'x', NULL, false, 0, NULL, now(), now(), NULL, 1,
                         deleted
FROM unnest(ARRAY['alice', 'bob']) AS owner,
     unnest(ARRAY[NULL, now() - interval '29 days', now() - interval '31 days']) AS deleted;
INSERT INTO idempotency_keys
SELECT 'alice', hours::text, '', '{}', now() - make_interval(hours => hours)
FROM unnest(ARRAY[1, 23, 25]) AS hours;
INSERT INTO token_revocations (at, refused_at, kind, value, operator, reason, session_lifetime)
SELECT now() - at, now() - refused_at, kind, 'x', 'x', 'x', lifetime
FROM (VALUES (interval '1 h', NULL::interval, 'session', interval '7 d'),
             ('8.9 d', NULL, 'session', '7 d'),
             ('9.1 d', NULL, 'session', '7 d'),
             ('90 d', '8.9 d', 'session', '7 d'),
             ('90 d', '9.1 d', 'subject', '7 d'),
             ('9.1 d', NULL, 'session', '30 d')) AS row (at, refused_at, kind, lifetime);
"""


@pytest.fixture
def filled(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabaseUrls]:
    """Tasks of two users (live, deleted, and deleted long ago), and keys of each age."""
    name = f"purge_{secrets.token_hex(4)}"
    urls = asyncio.run(postgres.make_database(name))
    asyncio.run(upgrade(parse_database_url(urls.owner)))
    run(postgres.superuser_url.rpartition("/")[0] + f"/{name}", FILL)
    monkeypatch.setenv("PURGE_DATABASE_URL", urls.purge)
    monkeypatch.delenv("AUTH_DATABASE_URL", raising=False)
    yield urls
    asyncio.run(drop_database(postgres.superuser_url, name))


def run(url: str, statement: str) -> list[asyncpg.Record]:
    async def connect_and_run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            if ";" in statement:
                await connection.execute(statement)
                return []
            return await connection.fetch(statement)
        finally:
            await connection.close()

    return asyncio.run(connect_and_run())


def left(postgres: PostgresServer, urls: DatabaseUrls) -> tuple[int, int]:
    url = postgres.superuser_url.rpartition("/")[0] + "/" + urls.app.rpartition("/")[2]
    (row,) = run(
        url, "SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM idempotency_keys)"
    )
    return row[0], row[1]


def test_preview_counts_and_removes_nothing(
    postgres: PostgresServer, filled: DatabaseUrls, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "due  2 tasks",
        "due  1 idempotency_keys",
        "due  2 token_revocations",
    ]
    assert "add --execute" in said.err
    assert left(postgres, filled) == (6, 3)


@pytest.mark.parametrize("batch", [5_000, 1])
def test_execute_removes_what_is_due_and_a_second_time_has_nothing_to_do(
    postgres: PostgresServer,
    filled: DatabaseUrls,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
) -> None:
    monkeypatch.setattr("scripts.operations.purge.BATCH", batch)
    assert main(["--execute", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "executed": True,
        "tasks": 2,
        "idempotency_keys": 1,
        "token_revocations": 2,
    }
    assert left(postgres, filled) == (4, 2)
    assert main(["--execute"]) == 3
    assert "nothing is due" in capsys.readouterr().err


def test_role_purge_sees_and_removes_nothing_that_is_not_due(
    postgres: PostgresServer, filled: DatabaseUrls
) -> None:
    assert [row[0] for row in run(filled.purge, "SELECT owner_id FROM tasks ORDER BY 1")] == [
        "alice",
        "bob",
    ]
    run(filled.purge, "DELETE FROM tasks; DELETE FROM idempotency_keys;")
    run(filled.purge, "DELETE FROM token_revocations;")
    assert left(postgres, filled) == (4, 2)
    assert len(run(filled.app, "SELECT FROM token_revocations")) == 4
    for statement in ("SELECT title FROM tasks", "SELECT reply FROM idempotency_keys"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            run(filled.purge, statement)


def test_better_auths_expired_sessions_go_where_its_database_is_named(
    filled: DatabaseUrls, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", filled.auth)
    run(
        filled.auth,
        """
        CREATE TABLE session (id text PRIMARY KEY, "expiresAt" timestamptz NOT NULL);
        INSERT INTO session VALUES
            ('old', now() - interval '49 h'), ('late', now() - interval '47 h'),
            ('new', now() + interval '1 h');
        """,
    )
    assert main(["--execute"]) == 0
    assert "removed  1 sessions" in capsys.readouterr().out
    kept = run(filled.auth, "SELECT id FROM session ORDER BY id")
    assert [row["id"] for row in kept] == ["late", "new"]


def test_tasks_of_a_deleted_account_are_removed_after_thirty_days(
    postgres: PostgresServer, filled: DatabaseUrls
) -> None:
    async def delete_account() -> None:
        pool = Database(parse_database_url(filled.app), pool_size=1)
        await TaskRepository(pool, Owner("alice")).delete_all()
        await pool.close()

    asyncio.run(delete_account())
    url = postgres.superuser_url.rpartition("/")[0] + "/" + filled.app.rpartition("/")[2]
    number = "SELECT count(*) FROM tasks WHERE owner_id = 'alice'"
    assert main(["--execute"]) == 0
    assert run(url, number)[0][0] == 2
    run(url, "UPDATE tasks SET deleted_at = deleted_at - interval '31 days'")
    assert main(["--execute"]) == 0
    assert run(url, number)[0][0] == 0
    (left_over,) = run(url, "SELECT owner_id, deleted_at FROM tasks")
    assert tuple(left_over) == ("bob", None)


FAILURES = {
    "nobody there": ("postgresql://purge:hunter2@127.0.0.1:1/x", 1, "cannot reach the database"),
    "no URL": ("", 2, "PURGE_DATABASE_URL: not set"),
    "rubbish": ("hunter2", 2, "PURGE_DATABASE_URL: not a database URL"),
    "another role": ("{app}", 1, "permission denied for table tasks"),
}


@pytest.mark.parametrize(("url", "code", "line"), FAILURES.values(), ids=FAILURES)
def test_failure_is_one_line_and_an_exit_code(
    filled: DatabaseUrls,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    url: str,
    code: int,
    line: str,
) -> None:
    monkeypatch.setenv("PURGE_DATABASE_URL", url.format(app=filled.app))
    assert main(["--execute"]) == code
    said = capsys.readouterr()
    assert line in said.err
    assert said.err.count("\n") == 1
    assert "hunter2" not in said.err
