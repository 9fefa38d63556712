"""`check-config`: the service's settings, where they come from, and what is wrong with them."""

import json
import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from better_auth_keys import Signer
from better_auth_keys.testing import HttpIssuer, Reply
from scripts.operations.check_config import checks
from scripts.operations.check_config.checks import findings, notes
from scripts.operations.check_config.command import main
from scripts.operations.check_config.finding import Finding
from service.settings.model import Settings
from tests.conftest import DatabaseUrls
from tests.service.conftest import settings_for, signer
from tests.simulators.issuer_server import Answer, IssuerServer, issuer_server
from tests.simulators.pooler import needs_pgbouncer, pooled

__all__ = ["signer"]
SIGN_OUT = "/api/auth/sign-out"
Make = Callable[..., Settings]


@pytest.fixture
async def keys(signer: Signer) -> AsyncIterator[HttpIssuer]:
    async with HttpIssuer(signer) as server:
        yield server


@pytest.fixture
async def issuer() -> AsyncIterator[IssuerServer]:
    async with issuer_server() as server:
        server.answers[SIGN_OUT] = Answer({"success": True})
        yield server


@pytest.fixture
def make(database: DatabaseUrls, keys: HttpIssuer, issuer: IssuerServer) -> Make:
    def settings(**changes: object) -> Settings:
        url = str(changes.pop("database_url", database.app))
        values = {"jwks_url": keys.jwks_url, "better_auth_url": issuer.url, **changes}
        return settings_for(url, **values)

    return settings


async def found(settings: Settings) -> dict[str, Finding]:
    return {finding.check: finding for finding in await findings(settings, None)}


async def test_everything_that_works_is_a_good_finding(make: Make) -> None:
    checks = await found(make())
    assert [*checks] == ["database", "listening", "rate limits", "keys", "issuer", "clock"]
    assert all(finding.good for finding in checks.values()), checks


@pytest.mark.parametrize("from_file", [False, True], ids=["https", "file"])
async def test_key_that_is_left_out_is_named_with_the_reason(
    make: Make, keys: HttpIssuer, signer: Signer, tmp_path: Path, *, from_file: bool
) -> None:
    weak = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "kid": "zero", "alg": "EdDSA"}
    document = json.dumps({"keys": [signer.public_jwk(), weak]}).encode()
    keys.reply = Reply(body=document)
    file = tmp_path / "jwks.json"
    file.write_bytes(document)
    changes = {"jwks_url": file.as_uri()} if from_file else {}
    finding = (await found(make(**changes)))["keys"]
    assert finding.good
    assert finding.said.endswith(f"{signer.kid} (EdDSA); cannot be used: zero (weak)")


async def test_owner_of_the_tables_is_refused_with_a_cure(
    make: Make, database: DatabaseUrls
) -> None:
    finding = (await found(make(database_url=database.owner)))["database"]
    assert not finding.good
    assert "migrate --execute --out FILE" in finding.said


async def test_each_host_of_the_database_is_checked(make: Make, database: DatabaseUrls) -> None:
    role, _, place = database.app.rpartition("@")
    host, _, name = place.partition("/")
    good = (await found(make(database_url=f"{role}@{host},{host}/{name}")))["database"]
    assert good.good
    assert f"{host},{host}/{name}" in good.said
    down = (await found(make(database_url=f"{role}@{host},127.0.0.1:1/{name}")))["database"]
    assert not down.good
    assert down.said.startswith("127.0.0.1:1 cannot be reached")


async def test_systems_that_are_down_are_one_finding_each_and_no_traceback(make: Make) -> None:
    nobody = "http://127.0.0.1:1"
    checks = await found(
        make(
            database_url="postgresql://app:hunter2@127.0.0.1:1/x",
            jwks_url=f"{nobody}/jwks",
            better_auth_internal_url=nobody,
            rate_limit_storage="redis://:hunter2@127.0.0.1:1",
        )
    )
    wrong = {name for name, finding in checks.items() if not finding.good}
    assert wrong == {"database", "rate limits", "keys", "issuer"}
    assert all(checks[name].cure for name in wrong)
    assert "hunter2" not in str(checks)


@needs_pgbouncer
async def test_pooler_that_drops_notifications_is_noticed(
    make: Make, database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pooled(database.app, connections=2) as pooler:
        through = {"database_url": f"{pooler}?prepared_statement_cache_size=0"}
        with monkeypatch.context() as patch:
            patch.setattr(checks, "_SECONDS", 1.0)  # what never arrives is not worth a long wait
            finding = (await found(make(**through)))["listening"]
        assert not finding.good
        assert "without a transaction pooler" in finding.cure
        assert (await found(make(**through, direct_database_url=database.app)))["listening"].good


async def test_keys_of_an_algorithm_that_is_not_accepted_are_named(
    make: Make, signer: Signer
) -> None:
    finding = (await found(make(jwt_algorithms=("RS256",))))["keys"]
    assert not finding.good
    assert f"{signer.kid} (EdDSA)" in finding.said
    assert finding.cure.startswith("add EdDSA to JWT_ALGORITHMS")


async def test_issuer_with_another_origin_is_noticed(make: Make, issuer: IssuerServer) -> None:
    issuer.answers[SIGN_OUT] = Answer({"code": "INVALID_ORIGIN"}, 403)
    finding = (await found(make()))["issuer"]
    assert not finding.good
    assert finding.said == f"Better Auth does not accept {issuer.url} as its own origin"


async def test_issuer_name_that_no_token_will_carry_is_noticed(
    make: Make, issuer: IssuerServer
) -> None:
    finding = (await found(make(jwt_issuer=("https://other.example.com",))))["issuer"]
    assert not finding.good
    assert f"add {issuer.url} to JWT_ISSUER" in finding.cure


async def test_issuer_is_checked_below_its_base_path(make: Make, issuer: IssuerServer) -> None:
    moved = make(better_auth_base_path="/auth", jwt_kinds=("session", "oauth"))
    finding = (await found(moved))["issuer"]
    assert not finding.good
    assert "BETTER_AUTH_BASE_PATH" in finding.cure
    issuer.answers["/auth/sign-out"] = Answer({"success": True})
    finding = (await found(moved))["issuer"]
    assert finding.good
    assert f"tokens of {issuer.url}, {issuer.url}/auth are accepted" in finding.said


async def test_issuer_of_oauth_tokens_need_not_be_the_origin(make: Make) -> None:
    only_oauth = make(jwt_kinds=("oauth",), jwt_issuer=("https://i.example.com",))
    assert (await found(only_oauth))["issuer"].good


@pytest.mark.parametrize(("seconds", "good"), [(0, True), (60, False), (-60, False)])
async def test_clock_is_compared_with_the_issuers(
    make: Make, keys: HttpIssuer, signer: Signer, seconds: int, *, good: bool
) -> None:
    keys.publish(signer, Date=formatdate(time.time() + seconds, usegmt=True))
    finding = (await found(make()))["clock"]
    assert finding.good is good
    assert (f"{'behind' if seconds > 0 else 'ahead of'} the issuer's" in finding.said) or good


def test_audience_that_differs_from_the_services_url_is_noted(make: Make) -> None:
    url = "https://api.example.com"
    production = {"environment": "production", "service_url": url}
    other = notes(make(**production, jwt_audience=("https://app.example.com",)))
    assert any(note.startswith("JWT_AUDIENCE does not contain SERVICE_URL") for note in other)
    assert not any("JWT_AUDIENCE" in note for note in notes(make(**production)))
    assert not any(
        "JWT_AUDIENCE" in note for note in notes(make(**production, jwt_audience=(url,)))
    )


@pytest.fixture
def environment(
    database: DatabaseUrls, signer: Signer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Path:
    """Set what the command reads: the database by a file, the issuer by .env."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "database-url"
    secret.write_text(database.app)
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    (tmp_path / ".env").write_text("BETTER_AUTH_URL=https://app.example.com\n")
    monkeypatch.setenv("DATABASE_URL_FILE", str(secret))
    monkeypatch.setenv("JWKS_URL", jwks.as_uri())
    monkeypatch.setenv("SERVICE_SECRET", "hunter2hunter2hunter2hunter2hunter2")
    return tmp_path


def test_settings_are_shown_with_their_source_and_without_secrets(
    environment: Path, database: DatabaseUrls, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--json"]) == 0
    text = capsys.readouterr().out
    password = make_url(database.app).password
    assert password
    assert password not in text
    assert "hunter2" not in text
    rows = {row["name"]: row for row in json.loads(text)["settings"]}
    assert rows["DATABASE_URL"]["source"] == f"{environment / 'database-url'} (environment)"
    assert rows["DATABASE_URL"]["value"].startswith("postgresql://app:***@")
    assert rows["SERVICE_SECRET"] == {
        "name": "SERVICE_SECRET",
        "source": "environment",
        "value": "***",
    }
    assert rows["BETTER_AUTH_URL"]["source"] == ".env"
    assert rows["JWT_ISSUER"]["value"] == "https://app.example.com"
    assert rows["PORT"] == {"name": "PORT", "source": "default", "value": "8000"}
    assert len(rows) == len(Settings.model_fields)
    assert any("TRUSTED_PROXIES" in note for note in json.loads(text)["notes"])


@pytest.mark.usefixtures("environment")
def test_what_is_wrong_ends_in_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", "none")
    monkeypatch.setenv("DATABASE_URL_FILE", "/nowhere")
    monkeypatch.setenv("BETTER_AUTH_URL", "https://ada:hunter2@app.example.com")
    assert main([]) == 1
    said = capsys.readouterr()
    assert "wrong  PORT: " in said.out
    assert "wrong  DATABASE_URL_FILE: the file cannot be read (" in said.out
    assert said.err == "check-config: 3 things are wrong; see above\n"
    assert "hunter2" not in said.out


@pytest.mark.usefixtures("environment")
def test_token_that_cannot_be_read_is_a_matter_of_usage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--token", "/nowhere"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_dotenv_that_is_no_text_is_one_mistake(
    environment: Path, capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    (environment / ".env").write_bytes(b"PORT=\xff\n")
    assert main(option) == 1
    assert capsys.readouterr().out.count(".env: is not UTF-8") == 1
