from pathlib import Path

import pytest

from scripts.devstack.environments import (
    operators_environment,
    service_environment,
    web_environment,
)
from scripts.devstack.home import DevHome
from scripts.devstack.settings import (
    DEFAULT_HOME,
    DatabaseUrls,
    DevSettings,
    StackSettings,
    UsageError,
    read_settings,
)
from scripts.operations.rotate_keys.settings import RotationSettings
from service.database.url import parse_database_url
from service.settings.model import Settings

APP = "postgresql://app:a@127.0.0.1:1/d"
OWNER = "postgresql://owner:o@127.0.0.1:1/d"
AUTH = "postgresql://auth:s@127.0.0.1:1/d"
URLS = DatabaseUrls(
    app=parse_database_url(APP),
    owner=parse_database_url(OWNER),
    auth=parse_database_url(AUTH),
)
EXTERNAL = {
    "DATABASE_URL": APP,
    "MIGRATION_DATABASE_URL": OWNER,
    "AUTH_DATABASE_URL": AUTH,
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {*StackSettings.names(), *Settings.names(), *RotationSettings.names()}
    for name in (*own, "NODE_EXTRA_CA_CERTS"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def read(folder: Path, *, api_only: bool = False) -> DevSettings:
    return read_settings(home=folder / "home", api_only=api_only, dotenv=folder / ".env")


def home_of(settings: DevSettings) -> DevHome:
    settings.home.mkdir(exist_ok=True)
    return DevHome(settings.home)


def test_web_gets_nothing_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_SECRET", "s" * 40)
    monkeypatch.setenv("CLOUD_CREDENTIALS", "not for children")
    for name, value in EXTERNAL.items():
        monkeypatch.setenv(name, value)
    settings = read(tmp_path)
    environment = web_environment(settings, home_of(settings), URLS)
    assert environment["AUTH_DATABASE_URL"] == AUTH
    assert not {"DATABASE_URL", "MIGRATION_DATABASE_URL", "SERVICE_SECRET"} & set(environment)
    assert "CLOUD_CREDENTIALS" not in environment
    assert not {APP, OWNER, "s" * 40} & set(environment.values())


def test_service_gets_nothing_of_web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETTER_AUTH_SECRET", "b" * 40)
    for name, value in EXTERNAL.items():
        monkeypatch.setenv(name, value)
    settings = read(tmp_path)
    environment = service_environment(settings, home_of(settings), URLS)
    assert environment["DATABASE_URL"] == APP
    assert not {"AUTH_DATABASE_URL", "MIGRATION_DATABASE_URL", "BETTER_AUTH_SECRET"} & set(
        environment
    )
    assert not {AUTH, OWNER, "b" * 40} & set(environment.values())


def test_service_environment_is_one_the_service_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read(tmp_path)
    environment = service_environment(settings, home_of(settings), URLS)
    for name in (name.upper() for name in Settings.model_fields):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)  # away from a .env of the checkout
    loaded = Settings.load()
    assert loaded.key_url == "http://localhost:3000/api/auth/jwks"
    assert loaded.issuers == {"http://localhost:3000"}
    web = web_environment(settings, home_of(settings), URLS)
    assert loaded.current_audiences == {web["SERVICE_URL"]} == {"http://localhost:8000"}


def test_settings_of_another_issuer_do_not_reach_into_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JWKS_URL", "JWT_ISSUER", "JWT_AUDIENCE", "BETTER_AUTH_URL", "SERVICE_URL"):
        monkeypatch.setenv(name, "https://elsewhere.example.com")
    monkeypatch.setenv("CORS_ORIGINS", "http://localhost:5173")
    monkeypatch.setenv("BETTER_AUTH_BASE_PATH", "/elsewhere")
    monkeypatch.setenv("NEON_AUTH", "true")
    settings = read(tmp_path)
    environment = service_environment(settings, home_of(settings), URLS)
    assert "https://elsewhere.example.com" not in environment.values()
    assert environment["BETTER_AUTH_BASE_PATH"] == environment["NEON_AUTH"] == ""
    assert environment["CORS_ORIGINS"] == "http://localhost:5173"


def test_secrets_are_random_private_and_kept(tmp_path: Path) -> None:
    settings = read(tmp_path)
    home = home_of(settings)
    first = web_environment(settings, home, URLS)["BETTER_AUTH_SECRET"]
    assert web_environment(settings, home, URLS)["BETTER_AUTH_SECRET"] == first
    assert service_environment(settings, home, URLS)["SERVICE_SECRET"] != first
    assert len(first) >= 32
    for name in ("better-auth-secret", "service-secret"):
        assert (home.folder / name).stat().st_mode & 0o777 == 0o600


def test_given_better_auth_secret_serves_a_given_database_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BETTER_AUTH_SECRET", "b" * 40)
    embedded = read(tmp_path)
    assert web_environment(embedded, home_of(embedded), URLS)["BETTER_AUTH_SECRET"] != "b" * 40
    for name, value in EXTERNAL.items():
        monkeypatch.setenv(name, value)
    external = read(tmp_path)
    assert web_environment(external, home_of(external), URLS)["BETTER_AUTH_SECRET"] == "b" * 40


def test_certificates_of_the_system_are_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/certificates")
    settings = read(tmp_path)
    home = home_of(settings)
    for environment in (
        web_environment(settings, home, URLS),
        service_environment(settings, home, URLS),
    ):
        assert environment["SSL_CERT_FILE"] == "/certificates"
        assert "PATH" in environment


def test_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=8100\nWEB_PORT=3100\n")
    monkeypatch.setenv("PORT", "8200")
    settings = read(tmp_path)
    assert (settings.port, settings.web_port) == (8200, 3100)


def test_stack_beside_the_usual_one_builds_web_in_a_folder_of_its_own(tmp_path: Path) -> None:
    beside = read(tmp_path)
    assert web_environment(beside, home_of(beside), URLS)["NEXT_DIST_DIR"].startswith(".next-")
    usual = read_settings(home=DEFAULT_HOME, api_only=False, dotenv=tmp_path / ".env")
    assert "NEXT_DIST_DIR" not in web_environment(usual, home_of(beside), URLS)


@pytest.mark.parametrize("value", ["http", "0", "65536", "-1", "8000.0", "٣٠٠٠"])
@pytest.mark.parametrize("name", ["PORT", "WEB_PORT"])
def test_port_that_is_none_is_refused_by_its_variables_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=rf"^{name}: must be a number from 1 to 65535$"):
        read(tmp_path)


def test_one_port_for_both_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "3000")
    with pytest.raises(UsageError, match="PORT and WEB_PORT are both 3000"):
        read(tmp_path)


def test_given_database_needs_the_urls_of_the_other_roles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", APP)
    with pytest.raises(UsageError, match="MIGRATION_DATABASE_URL and AUTH_DATABASE_URL must be"):
        read(tmp_path)
    with pytest.raises(UsageError, match=r"so MIGRATION_DATABASE_URL must be set"):
        read(tmp_path, api_only=True)
    monkeypatch.setenv("MIGRATION_DATABASE_URL", OWNER)
    assert read(tmp_path, api_only=True).external == DatabaseUrls(URLS.app, URLS.owner, None)


def test_direct_url_goes_with_its_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIRECT_DATABASE_URL", "postgresql://app:a@elsewhere/d")
    embedded = read(tmp_path)
    assert service_environment(embedded, home_of(embedded), URLS)["DIRECT_DATABASE_URL"] == ""
    for name, value in EXTERNAL.items():
        monkeypatch.setenv(name, value)
    external = read(tmp_path)
    environment = service_environment(external, home_of(external), URLS)
    assert environment["DIRECT_DATABASE_URL"] == "postgresql://app:a@elsewhere/d"


def test_operators_get_what_web_has_of_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNING_ALGORITHM", "ES256,EdDSA")
    monkeypatch.setenv("PINNED_KEYS", "a,b")
    settings = read(tmp_path)
    home = home_of(settings)
    operators, web = (
        operators_environment(settings, home, URLS),
        web_environment(settings, home, URLS),
    )
    shared = {"BETTER_AUTH_SECRET", "AUTH_DATABASE_URL", "JWKS_GRACE_PERIOD", "BETTER_AUTH_URL"}
    shared |= {"SIGNING_ALGORITHM", "ACCESS_TOKEN_LIFETIME", "SESSION_LIFETIME"}
    assert {name: operators[name] for name in shared} == {name: web[name] for name in shared}
    assert operators["SIGNING_ALGORITHM"] == "ES256,EdDSA"
    assert operators["PINNED_KEYS"] == "a,b"
    assert "SIGNING_KEYS_URL" not in operators


def test_web_sends_spans_to_the_collector_of_the_service_under_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not {name for name in web_environment_of(tmp_path) if name.startswith("OTEL_")}
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "tasks")
    web = web_environment_of(tmp_path)
    assert {name: value for name, value in web.items() if name.startswith("OTEL_")} == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318",
        "OTEL_TRACES_SAMPLER": "traceidratio",
    }


def web_environment_of(folder: Path) -> dict[str, str]:
    settings = read(folder)
    return web_environment(settings, home_of(settings), URLS)


def test_operators_of_a_stack_without_web_have_a_file_of_keys(tmp_path: Path) -> None:
    settings = read(tmp_path, api_only=True)
    operators = operators_environment(settings, home_of(settings), URLS)
    assert operators["SIGNING_KEYS_URL"] == (settings.home / "signing-keys.json").as_uri()
    assert not {"BETTER_AUTH_SECRET", "AUTH_DATABASE_URL"} & set(operators)


def read_https(folder: Path) -> DevSettings:
    return read_settings(home=folder / "home", api_only=False, https=True, dotenv=folder / ".env")


def test_behind_the_proxy_everybody_knows_the_other_by_its_public_name(tmp_path: Path) -> None:
    settings = read_https(tmp_path)
    home, front = home_of(settings), settings.front
    assert front is not None
    service = service_environment(settings, home, URLS)
    assert service["BETTER_AUTH_URL"] == "https://app.localhost:8443"
    assert service["SERVICE_URL"] == "https://api.localhost:8443"
    assert service["BETTER_AUTH_INTERNAL_URL"] == "https://localhost:8443"
    assert service["CA_FILE"] == str(front.authority)
    assert service["TRUSTED_PROXIES"] == "127.0.0.1"
    web = web_environment(settings, home, URLS)
    assert (web["BETTER_AUTH_URL"], web["SERVICE_URL"]) == (front.app_origin, front.api_origin)
    assert web["NODE_EXTRA_CA_CERTS"] == str(front.authority)
    assert web["SERVICE_INTERNAL_URL"] == f"http://127.0.0.1:{settings.port}"
    plain = service_environment(read(tmp_path), home, URLS)
    assert plain["BETTER_AUTH_URL"] == "http://localhost:3000"
    assert plain["BETTER_AUTH_INTERNAL_URL"] == ""


def test_authorities_that_node_is_told_of_already_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = tmp_path / "company.pem"
    theirs.write_text("company")
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(theirs))
    settings = read_https(tmp_path)
    home, front = home_of(settings), settings.front
    assert front is not None
    front.authority.parent.mkdir(parents=True)
    front.authority.write_text("ours")
    both = Path(web_environment(settings, home, URLS)["NODE_EXTRA_CA_CERTS"])
    assert both.read_text().split() == ["company", "ours"]


@pytest.mark.parametrize(("name", "other"), [("WEB_PORT", "HTTPS_PORT"), ("PORT", "HTTPS_PORT")])
def test_two_servers_cannot_have_one_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, other: str
) -> None:
    for variable in (name, other):
        monkeypatch.setenv(variable, "4711")
    with pytest.raises(UsageError, match=f"{other} and {name} are both 4711"):
        read_https(tmp_path)


def test_proxy_without_a_web_app_is_a_matter_of_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be combined with --api"):
        read_settings(home=tmp_path, api_only=True, https=True, dotenv=tmp_path / ".env")


def by_files(folder: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> None:
    """Set these only by NAME_FILE."""
    for name, text in settings.items():
        (folder / name).write_text(f"{text}\n")
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(f"{name}_FILE", str(folder / name))


def test_database_that_a_file_names_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_files(tmp_path, monkeypatch, {**EXTERNAL, "BETTER_AUTH_SECRET": "b" * 40})
    settings = read(tmp_path)
    assert settings.external == URLS
    home = home_of(settings)
    assert service_environment(settings, home, URLS)["DATABASE_URL"] == APP
    assert web_environment(settings, home, URLS)["BETTER_AUTH_SECRET"] == "b" * 40


def test_dotenv_may_name_files_too(tmp_path: Path) -> None:
    for name, text in EXTERNAL.items():
        (tmp_path / name).write_text(text)
    lines = (f"{name}_FILE={tmp_path / name}\n" for name in EXTERNAL)
    (tmp_path / ".env").write_text("".join(lines))
    assert read(tmp_path).external == URLS


def test_settings_from_files_are_passed_on_to_those_they_concern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"SERVICE_SECRET": "s" * 40, "CORS_ORIGINS": "http://localhost:5173", "PORT": "8100"}
    by_files(tmp_path, monkeypatch, {**given, "ACCESS_TOKEN_LIFETIME": "5m"})
    settings = read(tmp_path)
    home = home_of(settings)
    service = service_environment(settings, home, URLS)
    assert {name: service[name] for name in given} == given
    assert web_environment(settings, home, URLS)["ACCESS_TOKEN_LIFETIME"] == "5m"
    operators = operators_environment(settings, home, URLS)
    assert {name: operators[name] for name in given} == given
    assert operators["ACCESS_TOKEN_LIFETIME"] == "5m"
    for environment in (service, operators, web_environment(settings, home, URLS)):
        assert not [name for name in environment if name in {f"{n}_FILE" for n in given}]


def test_all_mistakes_are_reported_at_once_without_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**EXTERNAL, "DATABASE_URL": "mysql://hunter2", "PORT": "hunter2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SERVICE_SECRET_FILE", "/nowhere/hunter2")
    with pytest.raises(UsageError) as caught:
        read(tmp_path)
    for line in ("SERVICE_SECRET_FILE: the file", "DATABASE_URL: must begin", "PORT: must be"):
        assert line in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_web_keeps_mails_here_and_requires_no_verification_without_a_mail_server(
    tmp_path: Path,
) -> None:
    settings = read(tmp_path)
    environment = web_environment(settings, home_of(settings), URLS)
    assert settings.mail == {}
    assert environment["REQUIRE_VERIFIED_EMAIL"] == "false"
    assert "SMTP_URL" not in environment


def test_web_gets_the_mail_server_and_decides_itself_about_verification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = {"SMTP_URL": "smtps://mail.example.com", "MAIL_FROM": "tasks@example.com"}
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    settings = read(tmp_path)
    environment = web_environment(settings, home_of(settings), URLS)
    assert server.items() <= environment.items()
    assert environment["REQUIRE_VERIFIED_EMAIL"] == ""
    monkeypatch.setenv("REQUIRE_VERIFIED_EMAIL", "no")
    settings = read(tmp_path)
    environment = web_environment(settings, home_of(settings), URLS)
    assert environment["REQUIRE_VERIFIED_EMAIL"] == "no"
