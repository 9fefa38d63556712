"""Settings that web/ and the operators' commands share: one table of values for both."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scripts.operations.rotate_keys.settings import RotationSettings
from service.settings.reader import SettingsError, read
from tests.simulators.web_settings import ask_web

DAY = 86_400
NO_SPAN = "must be a whole number with a unit, such as 90s, 15m, 12h or 30d"
HOST = "db.example.com"
VALUES: dict[str, tuple[str, str, object]] = {
    # condition: (setting, text, its value or the beginning of the message that refuses it)
    "seconds": ("ACCESS_TOKEN_LIFETIME", "90s", 90),
    "minutes": ("ACCESS_TOKEN_LIFETIME", "15 minutes", 900),
    "hours": ("ACCESS_TOKEN_LIFETIME", " 1hr\n", 3600),
    "days": ("JWKS_GRACE_PERIOD", "30d", 30 * DAY),
    "a span that begins with zero": ("JWKS_GRACE_PERIOD", "007d", 7 * DAY),
    "a long span": ("JWKS_GRACE_PERIOD", "3650d", 3650 * DAY),
    "too long a span": ("JWKS_GRACE_PERIOD", "3651d", "must be"),
    "no span": ("JWKS_GRACE_PERIOD", "0s", "must be positive"),
    "a number alone": ("ACCESS_TOKEN_LIFETIME", "900", NO_SPAN),
    "digits beyond ASCII": ("ACCESS_TOKEN_LIFETIME", "٣m", NO_SPAN),
    "half a span": ("ACCESS_TOKEN_LIFETIME", "1.5h", NO_SPAN),
    "two spaces": ("ACCESS_TOKEN_LIFETIME", "15  m", NO_SPAN),
    "a unit in capitals": ("ACCESS_TOKEN_LIFETIME", "15M", NO_SPAN),
    "a database here": ("AUTH_DATABASE_URL", "postgresql://a:b@localhost/d", False),
    "a database at an address here": ("AUTH_DATABASE_URL", "postgres://a:b@127.1.2.3:1/d", False),
    "a database in version 6 here": ("AUTH_DATABASE_URL", "postgresql://a:b@[::1]/d", False),
    "a database elsewhere": ("AUTH_DATABASE_URL", f"postgresql://a:b@{HOST}/d", True),
    "a database without TLS": ("AUTH_DATABASE_URL", "postgres://a@h/d?sslmode=disable", False),
    "a database as Neon prints it": (
        "AUTH_DATABASE_URL",
        f"postgresql://a:b%40@{HOST}/d?sslmode=require&channel_binding=require",
        True,
    ),
    "a database with a name that resembles": (
        "AUTH_DATABASE_URL",
        "postgresql://a:b@localhost.example.com/d",
        True,
    ),
    "another kind of database": ("AUTH_DATABASE_URL", "mysql://a:hunter2@h/d", "must begin with"),
    "a database without a user": ("AUTH_DATABASE_URL", "postgresql://h/hunter2", "must name"),
    "a database without a name": ("AUTH_DATABASE_URL", "postgresql://a:hunter2@h", "must name"),
    "a mode that does not verify": (
        "AUTH_DATABASE_URL",
        f"postgresql://a:hunter2@{HOST}/d?sslmode=prefer",
        "sslmode must be",
    ),
    "a parameter that is not known": (
        "AUTH_DATABASE_URL",
        f"postgresql://a:hunter2@{HOST}/d?options=x",
        "unknown parameters: options",
    ),
    "the parameter of DATABASE_URL alone": (
        "AUTH_DATABASE_URL",
        f"postgresql://a:hunter2@{HOST}/d?prepared_statement_cache_size=0",
        "unknown parameters: prepared_statement_cache_size",
    ),
    "versions": (
        "BETTER_AUTH_SECRETS",
        f" 2 : {'n' * 32} ,1:{'o' * 40}",
        {"2": "n" * 32, "1": "o" * 40},
    ),
    "a secret with a colon": ("BETTER_AUTH_SECRETS", f"1:{'a:' * 16}", {"1": "a:" * 16}),
    "no version": ("BETTER_AUTH_SECRETS", "hunter2" * 8, ""),
    "a version that is no number": ("BETTER_AUTH_SECRETS", f"x:{'hunter2' * 8}", ""),
    "an entry that is empty": ("BETTER_AUTH_SECRETS", f"1:{'hunter2' * 8},", ""),
    "a version twice": ("BETTER_AUTH_SECRETS", f"1:{'hunter2' * 8},01:{'o' * 40}", ""),
}
COMPLETE = {
    "AUTH_DATABASE_URL": "postgresql://auth:pw@127.0.0.1/d",
    "BETTER_AUTH_URL": "http://localhost:3000",
    "BETTER_AUTH_SECRET": "s" * 40,
}


def value_of_operators(name: str, text: str, nowhere: Path) -> object:
    """Return the value of a setting as rotate-keys reads it. Raises `SettingsError`."""
    names = RotationSettings.names()
    environment = {**COMPLETE, name: text}
    settings = RotationSettings.of(read(names, environment=environment, dotenv=nowhere / ".env"))
    spans = (settings.access_token_lifetime, settings.jwks_grace_period)
    for span in spans:
        if span is not None:
            return int(span.total_seconds())
    if settings.better_auth_secrets is not None:
        return {str(number): text for number, text in settings.better_auth_secrets.versions.items()}
    assert settings.auth_database_url is not None
    return settings.auth_database_url.tls


def value_of_web(name: str, found: Mapping[str, Any]) -> object:
    if name == "BETTER_AUTH_SECRETS":
        return {str(secret["version"]): secret["value"] for secret in found["secrets"]}
    return {
        "ACCESS_TOKEN_LIFETIME": found["accessTokenLifetime"],
        "JWKS_GRACE_PERIOD": found["gracePeriod"],
        "AUTH_DATABASE_URL": found["authDatabase"]["tls"],
    }[name]


@pytest.fixture(scope="module")
def environments_of_web() -> dict[str, dict[str, Any]]:
    questions = [
        {"name": None, "source": {**COMPLETE, name: text}} for name, text, _ in VALUES.values()
    ]
    return dict(zip(VALUES, ask_web(questions), strict=True))


@pytest.mark.parametrize("case", VALUES)
def test_value_of_web_and_of_the_operators_is_the_same(
    case: str, environments_of_web: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    name, text, expected = VALUES[case]
    of_web = environments_of_web[case]
    if not isinstance(expected, str):
        assert value_of_web(name, of_web["value"]) == expected
        assert value_of_operators(name, text, tmp_path) == expected
        return
    with pytest.raises(SettingsError) as caught:
        value_of_operators(name, text, tmp_path)
    for (line,) in (of_web["mistakes"], caught.value.lines):
        assert line.startswith(f"{name}: {expected}")
        assert "hunter2" not in line


def test_web_reports_all_mistakes_at_once() -> None:
    source = {"AUTH_DATABASE_URL_FILE": "/nowhere"}
    source |= {"BETTER_AUTH_URL": "x", "JWKS_GRACE_PERIOD": "1"}
    ((answer),) = ask_web([{"name": None, "source": source}])
    assert [line.partition(":")[0] for line in answer["mistakes"]] == [
        "AUTH_DATABASE_URL_FILE",
        "BETTER_AUTH_URL",
        "BETTER_AUTH_SECRET",
        "JWKS_GRACE_PERIOD",
    ]
