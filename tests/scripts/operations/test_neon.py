"""`migrate` on a database like one of Neon: create roles, and show their URLs once."""

import errno
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from scripts.operations.migrate import main
from service.database.url import DatabaseUrl, parse_database_url
from service.migrations.errors import MigrationError
from service.migrations.runner import upgrade
from tests.simulators.neon import DIRECT, POOLED, Neon, provider, run, urls_in

pytestmark = pytest.mark.slow

WHO_IS_WHAT = """
SELECT rolname, pg_has_role('neondb_owner', oid, 'USAGE') AS owner_can_act_as
FROM pg_roles WHERE rolname IN ('app', 'auth', 'purge', 'revocations_reader') ORDER BY 1
"""

READERS_RIGHTS = """
SELECT c.relname::text, privilege FROM pg_class AS c,
       unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
           AS privilege
WHERE c.relkind = 'r' AND c.relnamespace::regnamespace::text IN ('public', 'auth')
  AND CASE WHEN privilege IN ('DELETE', 'TRUNCATE', 'TRIGGER')
           THEN has_table_privilege(c.oid, privilege)
           ELSE has_any_column_privilege(c.oid, privilege) END
ORDER BY 1, 2
"""


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neon]:
    with provider(tmp_path_factory.mktemp("untouched")) as neon:
        yield neon


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Neon, dict[str, str]]]:
    """A database after `migrate --execute --out`, and the file that it wrote."""
    folder = tmp_path_factory.mktemp("migrated")
    with provider(folder) as neon, pytest.MonkeyPatch.context() as patch:
        neon.use(patch)
        out = folder / "urls.env"
        assert main(["--execute", "--out", str(out)]) == 0
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        yield neon, urls_in(out)


@pytest.fixture(autouse=True)
def using(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Run the command on the server of the test."""
    if "migrated" in request.fixturenames:
        request.getfixturevalue("migrated")[0].use(monkeypatch)
    elif "untouched" in request.fixturenames:
        request.getfixturevalue("untouched").use(monkeypatch)


def test_preview_shows_the_roles_that_would_be_made(
    untouched: Neon, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = ["role app", "role auth", "role purge", "schema auth"]
    assert lines[:4] == [f"pending  {name}" for name in names]
    assert lines[4].startswith("pending  0001 ")
    assert run(untouched.server.url(), WHO_IS_WHAT) == []


@pytest.mark.parametrize("arguments", [["--execute"], ["--execute", "--json"]])
def test_passwords_are_not_written_where_a_log_may_be(
    untouched: Neon, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "--out FILE" in said.err
    assert run(untouched.server.url(), WHO_IS_WHAT) == []


def test_file_that_is_there_is_kept_and_nothing_is_changed(
    untouched: Neon, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "urls.env"
    out.write_text("mine")
    assert main(["--execute", "--out", str(out)]) == 1
    assert capsys.readouterr().err == f"migrate: --out: File exists: {out}\n"
    assert out.read_text() == "mine"
    assert run(untouched.server.url(), WHO_IS_WHAT) == []


def test_disk_that_is_full_costs_no_role_its_password(
    untouched: Neon,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    out = tmp_path / "urls.env"
    assert main(["--execute", "--out", str(out)]) == 1
    assert capsys.readouterr().err == f"migrate: --out: No space left on device: {out}\n"
    assert not out.exists()
    assert run(untouched.server.url(), WHO_IS_WHAT) == []


REFUSED_AT_THE_END = """
CREATE TABLE public.refused (id int);
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE 'code 400 from the control plane'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON public.refused
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.refuse();
INSERT INTO public.refused VALUES (1);
"""


def test_refusal_at_commit_leaves_neither_roles_nor_a_file(
    untouched: Neon,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Neon passes roles on to its control plane when they are committed."""

    def refused(connection: Connection) -> None:
        for statement in REFUSED_AT_THE_END.split(";\n"):
            connection.exec_driver_sql(statement)

    # Called in the transaction that creates the roles.
    monkeypatch.setattr("service.migrations.runner.create_auth_schema", refused)
    out = tmp_path / "urls.env"
    assert main(["--execute", "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert said.endswith("code 400 from the control plane\n")
    assert said.count("\n") == 1
    assert not out.exists()
    assert run(untouched.server.url(), WHO_IS_WHAT) == []


def test_roles_are_made_and_their_maker_has_no_part_in_them(
    migrated: tuple[Neon, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    neon, urls = migrated
    assert [*urls] == [
        "DATABASE_URL",
        "AUTH_DATABASE_URL",
        "PURGE_DATABASE_URL",
        "REVOCATIONS_DATABASE_URL",
    ]
    assert all(url.endswith("/neondb?sslmode=require") for url in urls.values())
    assert [make_url(url).host for url in urls.values()] == [POOLED, DIRECT, DIRECT, DIRECT]
    assert {*neon.front.names} == {DIRECT}  # migrations themselves leave the pooler out
    rows = run(neon.server.url(), WHO_IS_WHAT)
    assert [(row["rolname"], row["owner_can_act_as"]) for row in rows] == [
        ("app", False),
        ("auth", False),
        ("purge", False),
        ("revocations_reader", False),
    ]
    assert main(["--execute"]) == 3
    assert capsys.readouterr().out == ""


def test_better_auth_finds_a_schema_of_its_own(migrated: tuple[Neon, dict[str, str]]) -> None:
    url = migrated[1]["AUTH_DATABASE_URL"]
    (row,) = run(url, "CREATE TABLE jwks (id text)", "SELECT 'auth.jwks'::regclass::oid AS found")
    assert row["found"]
    (row,) = run(url, "SHOW search_path")  # nothing of `public`, either
    assert row["search_path"] == "auth"


@pytest.mark.usefixtures("migrated")
def test_slower_of_two_migrations_writes_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def before_the_other_began(_: object, *, reader: bool) -> list[str]:
        assert reader
        return ["app", "auth", "purge", "revocations_reader"]

    monkeypatch.setattr("scripts.operations.migrate.missing", before_the_other_began)
    out = tmp_path / "urls.env"
    assert main(["--execute", "--out", str(out)]) == 3
    assert not out.exists()


def test_another_database_of_the_server_gets_what_roles_do_not_bring_along(
    migrated: tuple[Neon, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    neon, urls = migrated
    run(neon.server.url(), "CREATE DATABASE second OWNER neondb_owner", "SELECT 1")
    monkeypatch.setenv("MIGRATION_DATABASE_URL", neon.console.replace("/neondb?", "/second?"))
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("pending  schema auth\npending  0001 ")
    assert main(["--execute"]) == 0
    assert capsys.readouterr().out.startswith("applied  schema auth\napplied  0001 ")
    assert main(["--execute"]) == 3
    url = urls["AUTH_DATABASE_URL"].replace("/neondb?", "/second?")
    (row,) = run(url, "CREATE TABLE jwks (id text)", "SELECT 'auth.jwks'::regclass::oid AS found")
    assert row["found"]
    assert not any(row["owner_can_act_as"] for row in run(neon.server.url(), WHO_IS_WHAT))


def test_urls_are_kept_where_nobody_knows_whether_roles_were_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async def lost_while_committing(
        url: DatabaseUrl, passwords: Mapping[str, str], **_: object
    ) -> list[str]:
        await upgrade(url, passwords)
        raise MigrationError("the connection was closed")

    with provider(tmp_path) as neon:
        neon.use(monkeypatch)
        monkeypatch.setattr("scripts.operations.migrate.upgrade", lost_while_committing)
        out = tmp_path / "urls.env"
        assert main(["--execute", "--out", str(out)]) == 1
        assert f"their URLs are in {out}" in capsys.readouterr().err
        (row,) = run(urls_in(out)["AUTH_DATABASE_URL"], "SELECT current_user::text AS me")
        assert row["me"] == "auth"


def test_terminal_is_shown_the_urls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with provider(tmp_path) as neon:
        neon.use(monkeypatch)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        assert main(["--execute"]) == 0
        shown = re.findall(r"(?m)^(\w+_URL)=(\S+)$", capsys.readouterr().out)
        assert [name for name, _ in shown] == [
            "DATABASE_URL",
            "AUTH_DATABASE_URL",
            "PURGE_DATABASE_URL",
        ]
        whose = [
            run(parse_database_url(url).without_pooler().setting, "SELECT current_user::text")[0][0]
            for _, url in shown
        ]
        assert whose == ["app", "auth", "purge"]


def test_reader_of_revocations_is_added_later_and_reads_the_two_tables_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with provider(tmp_path) as neon:
        neon.use(monkeypatch)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        assert main(["--execute"]) == 0  # as previous releases did, without the role
        assert main([]) == 3
        capsys.readouterr()
        out = tmp_path / "reader.env"
        assert main(["--out", str(out)]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("pending  role revocations_reader\n")
        assert main(["--execute", "--out", str(out)]) == 0
        assert capsys.readouterr().out == shown.replace("pending", "applied")
        assert [*urls_in(out)] == ["REVOCATIONS_DATABASE_URL"]
        url = urls_in(out)["REVOCATIONS_DATABASE_URL"]
        assert run(url, "SELECT kid FROM public.revoked_keys") == []
        assert run(url, "SELECT * FROM public.token_revocations") == []
        rights = run(url, READERS_RIGHTS)
        assert [tuple(row) for row in rights] == [
            ("revoked_keys", "SELECT"),
            ("token_revocations", "SELECT"),
        ]
        again = tmp_path / "again.env"
        assert main(["--execute", "--out", str(again)]) == 3
        assert not again.exists()


@pytest.mark.parametrize(("host", "plain"), [(POOLED, True), ("127.0.0.1", False)])
def test_no_server_but_neons_is_told_a_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str, *, plain: bool
) -> None:
    with provider(tmp_path) as neon:
        neon.use(monkeypatch)
        monkeypatch.setenv("MIGRATION_DATABASE_URL", neon.console.replace(POOLED, host))
        out = tmp_path / "urls.env"
        assert main(["--execute", "--out", str(out)]) == 0
        came = bytes(neon.front.received)
    assert (b"SCRAM-SHA-256$" in came) is not plain
    for url in urls_in(out).values():
        assert (str(make_url(url).password).encode() in came) is plain
