"""Back up a database, and restore it on a server that has none of its roles."""

import asyncio
import os
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from scripts.devstack.postgres import files
from scripts.devstack.postgres.embedded import EmbeddedPostgres
from scripts.devstack.postgres.roles import drop_database, url_as
from scripts.operations.migrate import main
from scripts.setup.checkout import CHECKOUT
from service.database.execution import Database
from service.database.url import parse_database_url
from service.migrations.runner import upgrade
from service.security.owner import Owner
from service.tasks.query import TaskQuery
from service.tasks.repository import TaskRepository
from service.tasks.schemas import TaskWrite
from tests.conftest import DatabaseUrls, PostgresServer
from tests.simulators.jwks_table import Issuer
from tests.simulators.neon import run, urls_in

pytestmark = pytest.mark.slow

PASSWORD = "hunter2"
SQL_BLOCK = re.compile(r"```sql\n(CREATE ROLE backup .*?)```", re.DOTALL)
OWNER = f"CREATE ROLE keeper LOGIN CREATEROLE NOSUPERUSER PASSWORD '{PASSWORD}'"
SIGNED_OUT = """
INSERT INTO public.token_revocations (kind, value, operator, reason)
VALUES ('session', 's-1', 'test', 'signed out') RETURNING NULL
"""
# Like the function and trigger of web/.
TRIGGER = """
CREATE TABLE session (id text PRIMARY KEY);
CREATE FUNCTION auth.ended() RETURNS trigger LANGUAGE plpgsql SET search_path = ''
AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER ended AFTER DELETE ON session
REFERENCING OLD TABLE AS ended FOR EACH STATEMENT EXECUTE FUNCTION auth.ended();
"""
GRANTS = """
SELECT c.relname AS on, g.rolname, a.privilege_type, NULL AS column
FROM pg_class AS c, aclexplode(c.relacl) AS a JOIN pg_roles AS g ON g.oid = a.grantee
WHERE c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner
UNION ALL
SELECT c.relname, g.rolname, a.privilege_type, t.attname
FROM pg_class AS c JOIN pg_attribute AS t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a
JOIN pg_roles AS g ON g.oid = a.grantee
WHERE c.relnamespace = 'public'::regnamespace
UNION ALL
SELECT p.oid::regprocedure::text, coalesce(g.rolname, 'PUBLIC'), a.privilege_type, NULL
FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
LEFT JOIN pg_roles AS g ON g.oid = a.grantee
WHERE p.pronamespace = 'public'::regnamespace AND a.grantee <> p.proowner
UNION ALL
SELECT 'schema public', rolname, 'USAGE', NULL FROM pg_roles
WHERE rolname IN ('app', 'auth', 'purge') AND has_schema_privilege(oid, 'public', 'USAGE')
UNION ALL
SELECT c.oid::regclass::text, c.relowner::regrole::text, 'owns', NULL
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'auth' AND c.relkind = 'r'
UNION ALL
SELECT p.oid::regprocedure::text, p.proowner::regrole::text, 'owns', NULL
FROM pg_proc AS p WHERE p.pronamespace = 'auth'::regnamespace
UNION ALL
SELECT 'schema auth', nspowner::regrole::text, 'owns', NULL FROM pg_namespace
WHERE nspname = 'auth'
ORDER BY 1, 2, 3, 4
"""
POLICIES = """
SELECT tablename, policyname, permissive, roles, cmd, qual, with_check FROM pg_policies
ORDER BY 1, 2
"""


def program(name: str, *arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [files._installed() / "bin" / name, *arguments],
        cwd=folder,
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def original(postgres: PostgresServer) -> Iterator[DatabaseUrls]:
    """A database in use: a task, a revoked session, and Better Auth's keys."""

    async def make() -> DatabaseUrls:
        urls = await postgres.make_database(f"original_{secrets.token_hex(4)}")
        await upgrade(parse_database_url(urls.owner))
        issuer = Issuer(urls.auth)
        await issuer.make_table()
        pool = Database(parse_database_url(urls.app), pool_size=1)
        await TaskRepository(pool, Owner("alice")).create(TaskWrite(title="Kept"))
        await pool.close()
        return urls

    urls = asyncio.run(make())
    run(urls.auth, SIGNED_OUT)
    run(urls.auth, TRIGGER, "SELECT 1")
    database = urlsplit(urls.owner).path[1:]
    block = SQL_BLOCK.search((CHECKOUT / "docs" / "running.md").read_text())
    assert block is not None
    statements = block[1].replace("...", PASSWORD).replace("your_database", database)
    run(url_as_superuser(postgres, database), statements, "SELECT 1")
    yield urls
    asyncio.run(drop_database(postgres.superuser_url, database))
    run(postgres.superuser_url, "DROP ROLE backup", "SELECT 1")


def url_as_superuser(postgres: PostgresServer, database: str) -> str:
    return postgres.superuser_url.rpartition("/")[0] + f"/{database}"


@pytest.fixture(scope="module")
def dump(
    original: DatabaseUrls, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("backup")
    database = urlsplit(original.owner).path[1:]
    url = url_as(postgres.superuser_url, user="backup", password=PASSWORD, database=database)
    done = program("pg_dump", "--format=custom", "--file=backup.dump", url, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "backup.dump"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres.ephemeral(in_memory=True) as server:
        run(server.url(), OWNER, "SELECT 1")
        yield server


@pytest.mark.parametrize("role", ["owner", "app", "auth"])
def test_backup_by_another_role_fails_instead_of_leaving_rows_out(
    original: DatabaseUrls, tmp_path: Path, role: str
) -> None:
    done = program("pg_dump", "--file=backup.sql", getattr(original, role), folder=tmp_path)
    assert done.returncode == 1
    assert "permission denied" in done.stderr


def test_backup_of_the_owners_own_schema_stops_at_row_level_security(
    original: DatabaseUrls, tmp_path: Path
) -> None:
    done = program("pg_dump", "--schema=public", "--file=x.sql", original.owner, folder=tmp_path)
    assert done.returncode == 1
    assert "row-level security" in done.stderr


def test_fault91_migrate_repairs_a_dump_that_was_restored_without_the_roles(
    original: DatabaseUrls,
    postgres: PostgresServer,
    dump: Path,
    server: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    run(server.url(), "CREATE DATABASE restored OWNER keeper", "SELECT 1")
    keeper = url_as(server.url(), user="keeper", password=PASSWORD, database="restored")
    done = program("pg_restore", "--no-owner", f"--dbname={keeper}", str(dump), folder=tmp_path)
    errors = [line for line in done.stderr.splitlines() if "ERROR:" in line]
    assert errors != []
    assert [line for line in errors if "does not exist" not in line] == []
    monkeypatch.setenv("MIGRATION_DATABASE_URL", keeper)
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    shown = capsys.readouterr().out
    for name in ("role app", "owner of schema auth", "grants of app on tasks"):
        assert f"pending  {name}\n" in shown
    assert main(["--execute", "--out", "urls.env"]) == 0
    applied = capsys.readouterr().out
    assert applied == shown.replace("pending", "applied")
    assert main([]) == 3

    source = url_as_superuser(postgres, urlsplit(original.owner).path[1:])
    target = server.url().rpartition("/")[0] + "/restored"
    for query in (GRANTS, POLICIES):
        assert run(target, query) == run(source, query)
    urls = urls_in(tmp_path / "urls.env")
    assert asyncio.run(titles(urls["DATABASE_URL"], "alice")) == ["Kept"]
    assert asyncio.run(titles(urls["DATABASE_URL"], "bob")) == []
    (row,) = run(urls["AUTH_DATABASE_URL"], "SELECT count(*) FROM public.token_revocations")
    assert row["count"] == 1
    # web/ replaces its function when it starts, which only the owner of a function may do.
    again = TRIGGER.partition(";")[2].replace("CREATE", "CREATE OR REPLACE")
    run(urls["AUTH_DATABASE_URL"], again, "SELECT 1")
    # Better Auth adds a column when it is updated, which only the owner of a table may do.
    run(urls["AUTH_DATABASE_URL"], "ALTER TABLE jwks ADD COLUMN later text", "SELECT * FROM jwks")
    (row,) = run(urls["PURGE_DATABASE_URL"], "SELECT count(owner_id) FROM public.tasks")
    assert row["count"] == 0


def test_dump_that_a_superuser_restores_where_the_roles_are_needs_no_repair(
    postgres: PostgresServer,
    dump: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    database = f"again_{secrets.token_hex(4)}"
    urls = asyncio.run(postgres.make_database(database))
    target = f"--dbname={url_as_superuser(postgres, database)}"
    done = program("pg_restore", "--clean", "--if-exists", target, str(dump), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    monkeypatch.setenv("MIGRATION_DATABASE_URL", urls.owner)
    monkeypatch.chdir(tmp_path)
    assert main(["--execute"]) == 3
    assert asyncio.run(titles(urls.app, "alice")) == ["Kept"]
    asyncio.run(drop_database(postgres.superuser_url, database))


async def titles(url: str, owner: str) -> list[str]:
    pool = Database(parse_database_url(url), pool_size=1)
    try:
        await pool.check()
        page = await TaskRepository(pool, Owner(owner)).list_page(TaskQuery(), limit=10)
        return [task.title for task in page.tasks]
    finally:
        await pool.close()


def test_rights_that_the_role_may_not_repair_are_an_error_with_the_statements(
    postgres: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """A superuser restored the dump here, so its tables belong to the superuser."""
    database = f"taken_{secrets.token_hex(4)}"
    urls = asyncio.run(postgres.make_database(database))
    asyncio.run(upgrade(parse_database_url(urls.owner)))
    run(
        url_as_superuser(postgres, database),
        "REVOKE SELECT ON public.tasks FROM app",
        "ALTER TABLE public.tasks OWNER TO postgres",
        "SELECT 1",
    )
    monkeypatch.setenv("MIGRATION_DATABASE_URL", urls.owner)
    monkeypatch.chdir(tmp_path)
    assert main(["--execute"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("migrate: grants of app on tasks: the role of MIGRATION_DATABASE_URL")
    assert said.endswith("run: GRANT SELECT, INSERT ON public.tasks TO app\n")
    asyncio.run(drop_database(postgres.superuser_url, database))


def test_schema_auth_of_another_owner_is_left_alone(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A provider may have a schema of this name (Supabase does)."""
    database = f"theirs_{secrets.token_hex(4)}"
    urls = asyncio.run(postgres.make_database(database))
    run(url_as_superuser(postgres, database), "ALTER SCHEMA auth OWNER TO postgres", "SELECT 1")
    monkeypatch.setenv("MIGRATION_DATABASE_URL", urls.owner)
    monkeypatch.chdir(tmp_path)
    assert main(["--execute"]) == 0
    assert main(["--execute"]) == 3
    asyncio.run(drop_database(postgres.superuser_url, database))
