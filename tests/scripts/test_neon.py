"""A database as Neon hands it out: an owner that is no superuser, TLS, and no roles of ours."""

import asyncio
import errno
import re
import ssl
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg
import httpx
import pytest
from alembic.config import Config

from keys import Signer
from scripts.embedded_postgres import EmbeddedPostgres
from scripts.in_process import running
from scripts.migrate import main
from service.app import create_app
from service.database import Database, DatabaseRefusedError, DatabaseUnavailableError
from service.database_url import DatabaseUrl, parse_database_url
from service.migrations.runner import MigrationError, upgrade
from tests.service.conftest import headers_of, settings_for, signer
from tests.simulators.postgres_tls import PostgresTls, postgres_tls
from tests.simulators.tls import make_authority

__all__ = ["headers_of", "signer"]

OWNERS_PASSWORD = "npg_0 w/n@r"
OWNER = f"""
CREATE ROLE neon_superuser NOLOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS;
CREATE ROLE neondb_owner LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS IN ROLE neon_superuser
    PASSWORD '{OWNERS_PASSWORD}';
"""
WHO_IS_WHAT = """
SELECT rolname, pg_has_role('neondb_owner', oid, 'USAGE') AS owner_can_act_as
FROM pg_roles WHERE rolname IN ('app', 'auth', 'purge') ORDER BY 1
"""


@dataclass
class Neon:
    """A server with nothing in it but what the provider made."""

    server: EmbeddedPostgres
    front: PostgresTls
    authority: Path

    @property
    def console(self) -> str:
        """The URL as the console prints it."""
        password = quote(OWNERS_PASSWORD, safe="")
        where = f"neondb_owner:{password}@127.0.0.1:{self.front.port}/neondb"
        return f"postgresql://{where}?sslmode=require&channel_binding=require"


def run(url: str, *statements: str) -> list[asyncpg.Record]:
    async def connect_and_run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetch(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(connect_and_run())


def urls_in(file: Path) -> dict[str, str]:
    lines = file.read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


@contextmanager
def provider(folder: Path) -> Iterator[Neon]:
    authority = make_authority(folder)
    with (
        EmbeddedPostgres.ephemeral() as server,
        postgres_tls(server.port, authority.context) as front,
    ):
        run(server.url(), OWNER, "CREATE DATABASE neondb OWNER neondb_owner", "SELECT 1")
        yield Neon(server, front, authority.file)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neon]:
    with provider(tmp_path_factory.mktemp("untouched")) as neon:
        yield neon


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Neon, dict[str, str]]]:
    """A database after `migrate --execute --out`, and what that wrote."""
    folder = tmp_path_factory.mktemp("migrated")
    with provider(folder) as neon, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(neon.authority))
        patch.setenv("MIGRATION_DATABASE_URL", neon.console)
        out = folder / "urls.env"
        assert main(["--execute", "--out", str(out)]) == 0
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        yield neon, urls_in(out)


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Trust the authority of the server that the test uses."""
    uses = "migrated" in request.fixturenames
    neon = request.getfixturevalue("migrated")[0] if uses else request.getfixturevalue("untouched")
    monkeypatch.setenv("SSL_CERT_FILE", str(neon.authority))
    monkeypatch.setenv("MIGRATION_DATABASE_URL", neon.console)


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
    """Neon hands roles on to its control plane when they are committed."""

    def refused(config: Config, _: str) -> None:
        for statement in REFUSED_AT_THE_END.split(";\n"):
            config.attributes["connection"].exec_driver_sql(statement)

    monkeypatch.setattr("service.migrations.runner.command.upgrade", refused)
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
    assert [*urls] == ["DATABASE_URL", "AUTH_DATABASE_URL", "PURGE_DATABASE_URL"]
    assert all(url.endswith("/neondb?sslmode=require") for url in urls.values())
    rows = run(neon.server.url(), WHO_IS_WHAT)
    assert [(row["rolname"], row["owner_can_act_as"]) for row in rows] == [
        ("app", False),
        ("auth", False),
        ("purge", False),
    ]
    assert main(["--execute"]) == 3
    assert capsys.readouterr().out == ""


def test_better_auth_finds_a_schema_of_its_own(migrated: tuple[Neon, dict[str, str]]) -> None:
    url = migrated[1]["AUTH_DATABASE_URL"]
    (row,) = run(url, "CREATE TABLE jwks (id text)", "SELECT 'auth.jwks'::regclass::oid AS found")
    assert row["found"]
    (row,) = run(url, "SHOW search_path")  # nothing of `public`, either
    assert row["search_path"] == "auth"


async def test_service_uses_the_url_that_it_was_given_over_verified_tls(
    migrated: tuple[Neon, dict[str, str]], signer: Signer, headers_of: object, tmp_path: Path
) -> None:
    assert callable(headers_of)
    neon, urls = migrated
    jwks = tmp_path / "jwks.json"
    jwks.write_text(httpx.Response(200, json={"keys": [signer.public_jwk()]}).text)
    settings = settings_for(urls["DATABASE_URL"], jwks_file=jwks)
    async with running(create_app(settings)) as client:
        made = await client.post("/api/tasks", headers=headers_of("ada"), json={"title": "x"})
        assert made.status_code == 201
        ready = (await client.get("/readyz")).json()
        assert (ready["database"], ready["status"]) == ("ok", "ready")
        async with asyncio.timeout(10):
            while not (await client.get("/readyz")).json()["keys"]["listening"]:
                pass
    assert neon.front.secure > 0
    assert neon.front.plain == 0


@pytest.mark.usefixtures("migrated")
def test_slower_of_two_migrations_writes_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def before_the_other_began(_: object) -> list[str]:
        return ["app", "auth", "purge"]

    monkeypatch.setattr("scripts.migrate.missing", before_the_other_began)
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
    async def lost_while_committing(url: DatabaseUrl, passwords: Mapping[str, str]) -> list[str]:
        await upgrade(url, passwords)
        raise MigrationError("the connection was closed")

    with provider(tmp_path) as neon:
        monkeypatch.setenv("SSL_CERT_FILE", str(neon.authority))
        monkeypatch.setenv("MIGRATION_DATABASE_URL", neon.console)
        monkeypatch.setattr("scripts.migrate.upgrade", lost_while_committing)
        out = tmp_path / "urls.env"
        assert main(["--execute", "--out", str(out)]) == 1
        assert f"their URLs are in {out}" in capsys.readouterr().err
        (row,) = run(urls_in(out)["DATABASE_URL"], "SELECT current_user::text AS me")
        assert row["me"] == "app"


def test_terminal_is_shown_the_urls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with provider(tmp_path) as neon:
        monkeypatch.setenv("SSL_CERT_FILE", str(neon.authority))
        monkeypatch.setenv("MIGRATION_DATABASE_URL", neon.console)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        assert main(["--execute"]) == 0
        shown = re.findall(r"(?m)^(\w+_URL)=(\S+)$", capsys.readouterr().out)
        assert [name for name, _ in shown] == [
            "DATABASE_URL",
            "AUTH_DATABASE_URL",
            "PURGE_DATABASE_URL",
        ]
        assert [run(url, "SELECT current_user::text")[0][0] for _, url in shown] == [
            "app",
            "auth",
            "purge",
        ]


async def test_consoles_own_url_is_refused_by_the_service(
    migrated: tuple[Neon, dict[str, str]],
) -> None:
    database = Database(parse_database_url(migrated[0].console))
    with pytest.raises(DatabaseRefusedError, match="neondb_owner can bypass row-level security"):
        await database.check()
    await database.close()


async def test_certificate_of_nobody_we_know_is_refused(
    migrated: tuple[Neon, dict[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(make_authority(tmp_path).file))
    database = Database(parse_database_url(migrated[1]["DATABASE_URL"]))
    with pytest.raises(DatabaseUnavailableError, match=ssl.SSLCertVerificationError.__name__):
        await database.check()
    await database.close()
