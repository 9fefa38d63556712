"""Settings: all wrong ones are refused at start, together, and their values are never quoted."""

import os
from pathlib import Path

import pytest

from service.security.limit import parse_limit
from service.settings.base import shown
from service.settings.model import Settings
from service.settings.reader import SettingsError
from service.settings.types import DEFAULT_LIMITS

SECRET = "s" * 32
DATABASE = "postgresql://app:hunter2hunter2@db.example.com/tasks"
PRODUCTION = {
    "DATABASE_URL": DATABASE,
    "BETTER_AUTH_URL": "https://app.example.com",
    "SERVICE_SECRET": SECRET,
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the machine's own settings."""
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def mistakes(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(monkeypatch, **{**PRODUCTION, **variables})
    return "\n".join(caught.value.lines)


def test_production_is_the_default_and_the_rest_follows_from_the_issuer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = load(monkeypatch, **PRODUCTION)
    assert settings.environment == "production"
    assert settings.issuers == settings.audiences == frozenset({"https://app.example.com"})
    assert settings.key_url == "https://app.example.com/api/auth/jwks"
    assert settings.allowed_origins == ("https://app.example.com",)


def test_path_and_default_port_of_the_issuer_are_not_part_of_its_origin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed = {**PRODUCTION, "BETTER_AUTH_URL": "https://App.example.com:443/base/"}
    settings = load(monkeypatch, **changed)
    assert settings.issuers == frozenset({"https://app.example.com"})
    assert settings.key_url == "https://App.example.com:443/base/api/auth/jwks"


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {
        **PRODUCTION,
        "JWT_ISSUER": "https://a.example.com, https://a.example.com/api/auth",
        "JWT_ALGORITHMS": "Ed25519,ES256",
    }
    settings = load(monkeypatch, **changed)
    assert settings.issuers == frozenset(
        {"https://a.example.com", "https://a.example.com/api/auth"}
    )
    assert settings.jwt_algorithms == ("EdDSA", "ES256")


def test_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **PRODUCTION, JWKS_URL="", PORT="")
    assert settings.key_url.endswith("/api/auth/jwks")
    assert settings.port == 8000


def test_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1234\nHOST=::1\nUNKNOWN=1\n")
    settings = load(monkeypatch, **PRODUCTION, PORT="4321")
    assert (settings.port, settings.host) == (4321, "::1")


def test_dotenv_that_is_no_text_is_one_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes(b"PORT=\xff\n")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load(monkeypatch, **PRODUCTION)


def test_plain_hosts_are_compared_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {**PRODUCTION, "BETTER_AUTH_URL": "http://Auth:3000", "PLAIN_HTTP_HOSTS": "Auth"}
    assert load(monkeypatch, **changed).issuers == frozenset({"http://auth:3000"})


REFUSED = {
    "issuer without TLS": ({"BETTER_AUTH_URL": "http://app.example.com"}, "BETTER_AUTH_URL"),
    "keys without TLS": ({"JWKS_URL": "http://app.example.com/jwks"}, "JWKS_URL"),
    "issuer no URL": ({"BETTER_AUTH_URL": "app.example.com"}, "BETTER_AUTH_URL"),
    "issuer with a password": ({"BETTER_AUTH_URL": "https://u:hunter2@x.org"}, "BETTER_AUTH_URL"),
    "origin without a scheme": ({"CORS_ORIGINS": "app.example.com"}, "CORS_ORIGINS"),
    "wildcard CORS": ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS"),
    "no secret": ({"SERVICE_SECRET": ""}, "SERVICE_SECRET: required in production"),
    "short secret": ({"SERVICE_SECRET": "hunter2"}, "SERVICE_SECRET: needs at least 32"),
    "two key sources": (
        {"JWKS_URL": "https://x.org/jwks", "JWKS_FILE": "jwks.json"},
        "JWKS_FILE is no longer read: use JWKS_URL=file:///path/to/jwks.json",
    ),
    "key file of another machine": (
        {"JWKS_URL": "file://x.org/jwks"},
        "JWKS_URL: must name a file",
    ),
    "key file with a relative path": ({"JWKS_URL": "file:jwks"}, "JWKS_URL: must name a file"),
    "key file with a query": ({"JWKS_URL": "file:///jwks?a=b"}, "JWKS_URL: must name a file"),
    "inner URL that is a file": (
        {"BETTER_AUTH_INTERNAL_URL": "file:///auth"},
        "BETTER_AUTH_INTERNAL_URL: ",
    ),
    "limit of an unknown kind": (
        {"RATE_LIMITS": "hunter2=5/minute"},
        "login=5/minute; the kinds are register, login, refresh, logout, account, tasks",
    ),
    "limit without a kind": ({"RATE_LIMITS": "5/minute"}, "RATE_LIMITS: must list kinds, such as"),
    "limit given twice": (
        {"RATE_LIMITS": "login=5/minute,tasks=1/second,login=6/minute"},
        "RATE_LIMITS: names login twice; name each of register, login, refresh,",
    ),
    "limit that is none": (
        {"RATE_LIMITS": "login=5/minute,tasks=hunter2"},
        "RATE_LIMITS: tasks must be a number and a unit, such as 5/minute",
    ),
    "prepared statements of another size": (
        {"DATABASE_URL": DATABASE + "?prepared_statement_cache_size=1"},
        "DATABASE_URL: prepared_statement_cache_size must be 0",
    ),
    "prepared statements without a pooler": (
        {"DIRECT_DATABASE_URL": DATABASE + "?prepared_statement_cache_size=0"},
        "DIRECT_DATABASE_URL: unknown parameters: prepared_statement_cache_size",
    ),
    "symmetric algorithm": ({"JWT_ALGORITHMS": "HS256"}, "JWT_ALGORITHMS: only asymmetric"),
    "database of another kind": ({"DATABASE_URL": "mysql://a:b@c/d"}, "DATABASE_URL"),
    "unknown database parameter": ({"DATABASE_URL": DATABASE + "?x=1"}, "DATABASE_URL: unknown"),
    "CA file missing": ({"CA_FILE": "nowhere.pem"}, "CA_FILE: cannot be read"),
    "CA file without certificates": ({"CA_FILE": __file__}, "CA_FILE: holds no certificate"),
    "key cache missing": ({"KEY_CACHE": "nowhere"}, "KEY_CACHE: must be an existing folder"),
    "key cache in a file": ({"KEY_CACHE": __file__}, "KEY_CACHE: must be an existing folder"),
    "no algorithm": ({"JWT_ALGORITHMS": ","}, "JWT_ALGORITHMS: names no algorithm"),
    "issuer name without TLS": ({"JWT_ISSUER": "http://app.example.com"}, "JWT_ISSUER"),
    "issuer name without a host": ({"JWT_ISSUER": "https://"}, "JWT_ISSUER"),
    "issuer with a fragment": ({"BETTER_AUTH_URL": "https://x.org#@app.org"}, "BETTER_AUTH_URL"),
    "issuer with a space": ({"BETTER_AUTH_URL": "https://app.example.com x"}, "BETTER_AUTH_URL"),
    "issuer with a space behind": ({"JWT_ISSUER": "https://a b.com"}, "JWT_ISSUER"),
    "origin with a wildcard": ({"CORS_ORIGINS": "https://*.example.com"}, "CORS_ORIGINS"),
    "own URL without TLS": ({"SERVICE_URL": "http://api.example.com"}, "SERVICE_URL: must be"),
    "key URL with no port": ({"JWKS_URL": "https://x.org:99999/"}, "JWKS_URL: "),
    "keys in a folder": ({"JWKS_URL": "file:///"}, "JWKS_URL: is a folder"),
    "plain host as a URL": ({"PLAIN_HTTP_HOSTS": "http://auth:3000"}, "PLAIN_HTTP_HOSTS: lists"),
    "database port out of range": (
        {"DATABASE_URL": DATABASE.replace(".com/", ".com:99999/")},
        "DATABASE_URL: the port",
    ),
    "database host no name": (
        {"DATABASE_URL": "postgresql://a:b@a..b/x"},
        "DATABASE_URL: the host",
    ),
    "origin null": ({"CORS_ORIGINS": "null"}, "CORS_ORIGINS"),
    "origin without TLS": ({"CORS_ORIGINS": "http://app.example.com"}, "CORS_ORIGINS"),
    "blank secret": ({"SERVICE_SECRET": " " * 40}, "SERVICE_SECRET: required in production"),
    "workers with a secret each": (
        {"ENVIRONMENT": "development", "SERVICE_SECRET": "", "WEB_CONCURRENCY": "2"},
        "SERVICE_SECRET: required by WEB_CONCURRENCY",
    ),
    "port out of range": ({"PORT": "65536"}, "PORT"),
    "unknown environment": ({"ENVIRONMENT": "staging"}, "ENVIRONMENT"),
}


@pytest.mark.parametrize(("changes", "line"), REFUSED.values(), ids=REFUSED)
def test_dangerous_or_wrong_setting_is_refused_in_production(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], line: str
) -> None:
    text = mistakes(monkeypatch, **changes)
    assert line in text
    assert "hunter2" not in text


def test_all_mistakes_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as caught:
        load(
            monkeypatch,
            PORT="none",
            JWT_ALGORITHMS="HS256",
            WEB_CONCURRENCY="0",
            CORS_ORIGINS="*",
            CA_FILE="nowhere.pem",
        )
    names = {line.partition(":")[0] for line in caught.value.lines}
    assert names == {
        "DATABASE_URL",
        "BETTER_AUTH_URL",
        "PORT",
        "JWT_ALGORITHMS",
        "WEB_CONCURRENCY",
        "CORS_ORIGINS",
        "CA_FILE",
        "SERVICE_SECRET",
    }


def test_key_cache_that_cannot_be_written_to_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert load(monkeypatch, **PRODUCTION, KEY_CACHE=str(tmp_path)).key_cache == tmp_path
    # Root may write anywhere, so the answer of the system is replaced.
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert "KEY_CACHE: cannot be written to" in mistakes(monkeypatch, KEY_CACHE=str(tmp_path))


def test_cors_origins_are_written_as_browsers_send_them(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **PRODUCTION, CORS_ORIGINS="https://App.example.com:443/")
    assert settings.allowed_origins == ("https://app.example.com",)


def test_plain_http_is_taken_from_loopback_and_from_listed_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed = {
        **PRODUCTION,
        "BETTER_AUTH_URL": "http://localhost:3000",
        "JWKS_URL": "http://web:3000/api/auth/jwks",
        "PLAIN_HTTP_HOSTS": "web",
    }
    assert load(monkeypatch, **changed).issuers == frozenset({"http://localhost:3000"})


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = repr(load(monkeypatch, **PRODUCTION))
    assert SECRET not in shown
    assert "hunter2" not in shown


def test_development_makes_up_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {**PRODUCTION, "ENVIRONMENT": "development", "SERVICE_SECRET": ""}
    assert len(load(monkeypatch, **changed).secret) >= 32


def test_limits_that_are_not_named_keep_their_default(monkeypatch: pytest.MonkeyPatch) -> None:
    given = " login = 7/hour , tasks=10 per 1 second,"
    settings = load(monkeypatch, **PRODUCTION, RATE_LIMITS=given)
    expected = {**DEFAULT_LIMITS}
    expected["login"], expected["tasks"] = parse_limit("7/hour"), parse_limit("10/second")
    assert settings.rate_limits == expected
    again = load(monkeypatch, RATE_LIMITS=shown(settings.rate_limits))
    assert again.rate_limits == settings.rate_limits


@pytest.mark.parametrize("url", ["file:///keys/a%20b.json", "file://localhost/keys/a%20b.json"])
def test_keys_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert load(monkeypatch, **PRODUCTION, JWKS_URL=url).jwks_file == Path("/keys/a b.json")
    assert load(monkeypatch, JWKS_URL="https://x.org/jwks").jwks_file is None


def test_prepared_statements_are_switched_off_by_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **PRODUCTION)
    assert settings.database_url.prepared_statements
    text = f"{DATABASE}?prepared_statement_cache_size=0"
    settings = load(monkeypatch, DATABASE_URL=text)
    assert not settings.database_url.prepared_statements
    assert settings.database_url.setting == text
    assert "?" not in settings.listening_url.dsn


def test_session_tokens_are_the_only_kind_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = load(monkeypatch, **PRODUCTION).policy
    assert policy.issuers_of("session") == frozenset({"https://app.example.com"})
    assert policy.issuers_of("oauth") == frozenset()


@pytest.mark.parametrize(
    ("kinds", "issuer", "session", "oauth"),
    [
        ("session,oauth", "", {"https://app.example.com"}, {"https://app.example.com/auth"}),
        ("oauth", "", set(), {"https://app.example.com/auth"}),
        ("oauth,session", "https://i.example.com", *[{"https://i.example.com"}] * 2),
        ("oauth", "https://i.example.com", set(), {"https://i.example.com"}),
        ("session", "https://i.example.com", {"https://i.example.com"}, set()),
    ],
)
def test_kinds_of_tokens_and_their_issuers(
    monkeypatch: pytest.MonkeyPatch, kinds: str, issuer: str, session: set[str], oauth: set[str]
) -> None:
    changed = {"JWT_KINDS": kinds, "JWT_ISSUER": issuer, "BETTER_AUTH_BASE_PATH": "/auth/"}
    settings = load(monkeypatch, **PRODUCTION, **changed)
    assert settings.policy.issuers_of("session") == session
    assert settings.policy.issuers_of("oauth") == oauth
    assert settings.key_url == "https://app.example.com/auth/jwks"


@pytest.mark.parametrize("kinds", ["bearer", "session,id", ","])
def test_unknown_kind_of_token_is_refused(monkeypatch: pytest.MonkeyPatch, kinds: str) -> None:
    found = mistakes(monkeypatch, JWT_KINDS=kinds)
    assert found == "JWT_KINDS: lists kinds of tokens, among session and oauth"


@pytest.mark.parametrize("path", ["api/auth", "/api auth", "/auth?x"])
def test_base_path_that_is_no_path_is_refused(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    found = mistakes(monkeypatch, BETTER_AUTH_BASE_PATH=path)
    assert found.startswith("BETTER_AUTH_BASE_PATH: must be a path that begins with a slash")


def test_neon_has_its_keys_below_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = {**PRODUCTION, "BETTER_AUTH_URL": "https://ep-1.neonauth.example.com/neondb/auth"}
    settings = load(monkeypatch, **changed, NEON_AUTH="true")
    assert settings.key_url.endswith("/neondb/auth/.well-known/jwks.json")
    origin = frozenset({"https://ep-1.neonauth.example.com"})
    assert settings.policy.issuers == settings.policy.audiences == origin
    assert settings.base_path == ""
    assert load(monkeypatch, JWKS_URL="https://keys.example.com/").key_url.startswith(
        "https://keys.example.com"
    )
