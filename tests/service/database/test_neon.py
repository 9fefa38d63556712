"""The service on a database like Neon's: TLS, a pooler for requests, none for listening."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from better_auth_keys import Signer
from scripts.operations.migrate import main
from scripts.proofs.in_process import running
from scripts.proofs.pgbouncer import pgbouncer
from service.app import create_app
from service.database.execution import Database, DatabaseRefusedError, DatabaseUnavailableError
from service.database.url import parse_database_url
from tests.service.conftest import Person, settings_for
from tests.simulators.neon import DIRECT, POOLED, Neon, provider, urls_in
from tests.simulators.pooler import needs_pgbouncer
from tests.simulators.tls import make_authority


@pytest.fixture(scope="module")
def provided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Neon, dict[str, str]]]:
    """A database after `migrate --execute --out`, and the URLs of its roles."""
    folder = tmp_path_factory.mktemp("neon")
    with provider(folder) as neon, pytest.MonkeyPatch.context() as patch:
        neon.use(patch)
        assert main(["--execute", "--out", str(folder / "urls.env")]) == 0
        yield neon, urls_in(folder / "urls.env")


@pytest.fixture
def neon(provided: tuple[Neon, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> Neon:
    provided[0].use(monkeypatch)
    provided[0].front.names.clear()
    return provided[0]


@pytest.fixture
def urls(provided: tuple[Neon, dict[str, str]]) -> dict[str, str]:
    return provided[1]


@needs_pgbouncer
async def test_requests_go_through_the_pooler_and_changes_are_heard_past_it(
    neon: Neon, urls: dict[str, str], signer: Signer, headers_of: Person, tmp_path: Path
) -> None:
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    password = str(make_url(urls["DATABASE_URL"]).password)
    with pgbouncer(neon.server.port, user="app", password=password, connections=2) as port:
        neon.front.pooler_port = port
        settings = settings_for(
            f"{urls['DATABASE_URL']}&prepared_statement_cache_size=0", jwks_url=jwks.as_uri()
        )
        async with running(create_app(settings)) as client:
            ada = headers_of("ada")
            made = await client.post("/api/tasks", headers=ada, json={"title": "x"})
            assert made.status_code == 201
            async with asyncio.timeout(10):
                while not (await client.get("/readyz")).json()["keys"]["listening"]:
                    pass
            assert {*neon.front.names} == {POOLED, DIRECT}
            assert neon.front.names.count(DIRECT) == 1  # the listening connection
            assert neon.front.plain == 0
            operators = await asyncpg.connect(urls["AUTH_DATABASE_URL"])
            await operators.execute("INSERT INTO public.revoked_keys (kid) VALUES ($1)", signer.kid)
            await operators.execute("NOTIFY signing_keys")
            await operators.close()
            async with asyncio.timeout(1):
                while (await client.get("/api/tasks", headers=ada)).status_code != 401:
                    pass


async def test_consoles_own_url_is_refused(neon: Neon) -> None:
    database = Database(parse_database_url(neon.console).without_pooler())
    with pytest.raises(DatabaseRefusedError) as caught:
        await database.check()
    await database.close()
    assert str(caught.value) == (
        "DATABASE_URL: role neondb_owner can bypass row-level security; connect as role app; if"
        " it does not exist, migrate --execute --out FILE creates it and writes its DATABASE_URL"
    )


async def test_certificate_of_nobody_we_know_is_refused(
    neon: Neon, urls: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stranger = make_authority(tmp_path, DIRECT, POOLED)
    monkeypatch.setenv("SSL_CERT_FILE", str(stranger.file))
    database = Database(parse_database_url(urls["DATABASE_URL"]))
    with pytest.raises(DatabaseUnavailableError, match=ssl.SSLCertVerificationError.__name__):
        await database.check()
    await database.close()
    assert neon.front.names == []


@pytest.mark.usefixtures("neon")
async def test_certificate_of_another_host_is_refused(urls: dict[str, str]) -> None:
    elsewhere = make_url(parse_database_url(urls["DATABASE_URL"]).without_pooler().setting).set(
        host=f"x.{DIRECT}"
    )
    database = Database(parse_database_url(elsewhere.render_as_string(hide_password=False)))
    with pytest.raises(DatabaseUnavailableError, match=ssl.SSLCertVerificationError.__name__):
        await database.check()
    await database.close()
