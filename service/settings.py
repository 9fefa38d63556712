"""Every setting of the service, checked at start; all mistakes are reported at once.

Settings come from the environment or from `.env` (the environment wins). Empty means not set.
`production` is the default, and what would be dangerous there is refused rather than documented.
"""

import secrets
import ssl
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic import ValidationError as PydanticValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from keys.fetch import check_key_url
from keys.jwk import ALGORITHMS, canonical_algorithm
from keys.origins import host_of, is_loopback, origin_of
from keys.verifier import JWKS_PATH
from service.database_url import parse_database_url
from service.rate_limit import Kind, parse_limit, storage_of

MIN_SECRET_LENGTH: Final = 32


class SettingsError(Exception):
    """The settings cannot be used. `lines` has one line for each mistake, without its value."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def _split(value: object) -> object:
    """Take a comma-separated list apart."""
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


def _known_algorithms(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("names no algorithm")
    unknown = [name for name in names if canonical_algorithm(name) not in ALGORITHMS]
    if unknown:
        known = ", ".join(ALGORITHMS)
        raise ValueError(f"only asymmetric algorithms are known: {known} (or Ed25519)")
    return names


def _hosts(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        try:
            is_host = host_of(origin_of(f"http://{name}")) == name.lower()
        except ValueError:
            is_host = False
        if not is_host:
            raise ValueError("lists host names, without scheme or port")
    return tuple(name.lower() for name in names)


def _require_tls(url: str, info: ValidationInfo) -> str:
    """Give the origin of a URL that may be trusted; raise `ValueError` if it may not."""
    origin = origin_of(url)
    host = host_of(url)
    plain = host in info.data.get("plain_http_hosts", ()) or is_loopback(host)
    production = info.data.get("environment") == "production"
    if production and not plain and not origin.startswith("https://"):
        raise ValueError("must be https in production")
    return origin


def _database_url(value: SecretStr) -> SecretStr:
    parse_database_url(value.get_secret_value())
    return value


def _optional_database_url(value: SecretStr | None) -> SecretStr | None:
    return None if value is None else _database_url(value)


def _store(value: SecretStr | None) -> SecretStr | None:
    storage_of(None if value is None else value.get_secret_value())
    return value


def _limit(text: str) -> str:
    parse_limit(text)
    return text


def _networks(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        try:
            network = ip_network(name, strict=False)
        except ValueError:
            raise ValueError("lists addresses and networks, such as 10.0.0.0/8") from None
        if network.prefixlen == 0:
            raise ValueError("must not be everybody: whoever asks could claim any address")
    return names


_CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """The service's settings; the names of the variables are these in capitals.

    A check that looks at two settings stands with the later of them, and is left out where the
    earlier one is wrong itself: so all mistakes come at once, and each only once.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
        validate_default=True,
    )

    environment: Literal["production", "development"] = "production"
    database_url: Annotated[SecretStr, AfterValidator(_database_url)]
    direct_database_url: Annotated[SecretStr | None, AfterValidator(_optional_database_url)] = None
    plain_http_hosts: Annotated[_CommaSeparated, AfterValidator(_hosts)] = ()
    better_auth_url: str
    jwks_url: str | None = None
    jwks_file: Path | None = None
    jwt_issuer: _CommaSeparated = ()
    jwt_audience: _CommaSeparated = ()
    jwt_algorithms: Annotated[_CommaSeparated, AfterValidator(_known_algorithms)] = (
        "EdDSA",
        "RS256",
    )
    ca_file: Path | None = None
    cors_origins: _CommaSeparated = ()
    service_url: str | None = None
    web_concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    service_secret: SecretStr | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8000
    database_pool_size: Annotated[int, Field(ge=1, le=100)] = 10
    database_prepared_statements: bool = True
    better_auth_seconds: Annotated[float, Field(gt=0, le=60)] = 10
    request_seconds: Annotated[float, Field(gt=0, le=60)] = 5
    rate_limit_storage: Annotated[SecretStr | None, AfterValidator(_store)] = None
    rate_limit_register: Annotated[str, AfterValidator(_limit)] = "5/minute"
    rate_limit_login: Annotated[str, AfterValidator(_limit)] = "5/minute"
    rate_limit_refresh: Annotated[str, AfterValidator(_limit)] = "60/minute"
    rate_limit_account: Annotated[str, AfterValidator(_limit)] = "10/minute"
    rate_limit_tasks: Annotated[str, AfterValidator(_limit)] = "600/minute"
    rate_limit_fail_open: Annotated[tuple[Kind, ...], NoDecode, BeforeValidator(_split)] = (
        "tasks",
    )
    trusted_proxies: Annotated[_CommaSeparated, AfterValidator(_networks)] = ()
    max_tasks_per_user: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    require_verified_email: bool = False

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the settings; raises `SettingsError` with every mistake in it."""
        try:
            return cls(**overrides)
        except UnicodeDecodeError:
            raise SettingsError([".env: is not UTF-8"]) from None
        except PydanticValidationError as error:
            lines = []
            for mistake in error.errors(include_input=False, include_url=False):
                text = mistake["msg"].removeprefix("Value error, ")
                if mistake["type"] == "missing":
                    text = "required; see .env.example"
                lines.append(f"{str(mistake['loc'][0]).upper()}: {text}")
            raise SettingsError(lines) from None

    @field_validator("better_auth_url")
    @classmethod
    def _issuer_url(cls, value: str, info: ValidationInfo) -> str:
        _require_tls(value, info)
        return value.rstrip("/")

    @field_validator("jwt_issuer")
    @classmethod
    def _issuer_names(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for name in value:
            _require_tls(name, info)
        return value

    @field_validator("jwks_url")
    @classmethod
    def _key_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            check_key_url(value, info.data.get("plain_http_hosts", ()))
        return value

    @field_validator("jwks_file")
    @classmethod
    def _one_key_source(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        url, issuer = info.data.get("jwks_url"), info.data.get("better_auth_url")
        if value is not None and url is not None:
            raise ValueError("cannot be combined with JWKS_URL; set one of them")
        if value is not None and value.is_dir():
            raise ValueError("is a folder")
        if value is None and url is None and issuer is not None and "jwks_url" in info.data:
            try:
                check_key_url(issuer, info.data.get("plain_http_hosts", ()))
            except ValueError as error:
                raise ValueError(f"not set, and for BETTER_AUTH_URL: {error}") from None
        return value

    @field_validator("ca_file")
    @classmethod
    def _certificates(cls, value: Path | None) -> Path | None:
        if value is None:
            return None
        try:
            ssl.create_default_context(cafile=value)
        except ssl.SSLError:
            raise ValueError("holds no certificate in PEM form") from None
        except OSError as error:
            raise ValueError(f"cannot be read ({error.strerror})") from None
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "*" in value and info.data.get("environment") != "development":
            raise ValueError("'*' is refused in production; list the origins")
        # A browser sends bare origins: with a path or a slash none would ever be equal.
        return tuple(item if item == "*" else _require_tls(item, info) for item in value)

    @field_validator("service_url")
    @classmethod
    def _own_origin(cls, value: str | None, info: ValidationInfo) -> str | None:
        return None if value is None else _require_tls(value, info)

    @field_validator("service_secret")
    @classmethod
    def _long_secret(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            if info.data.get("web_concurrency", 1) > 1:
                raise ValueError("required by WEB_CONCURRENCY: workers read each other's cursors")
            if info.data.get("environment") == "development":
                # One process, one developer: cursors die with the process and nobody minds.
                return SecretStr(secrets.token_urlsafe(MIN_SECRET_LENGTH))
            raise ValueError("required in production (openssl rand -base64 32)")
        if len(value.get_secret_value().strip()) < MIN_SECRET_LENGTH:
            raise ValueError(f"needs at least {MIN_SECRET_LENGTH} characters")
        return value

    @property
    def listening_url(self) -> str:
        """The database without a pooler between, which could not LISTEN. It holds a password."""
        return (self.direct_database_url or self.database_url).get_secret_value()

    @property
    def issuers(self) -> frozenset[str]:
        """The names of the one issuer."""
        return frozenset(self.jwt_issuer or (origin_of(self.better_auth_url),))

    @property
    def audiences(self) -> frozenset[str]:
        """The audiences of which a token must name one."""
        return frozenset(self.jwt_audience or (origin_of(self.better_auth_url),))

    @property
    def key_url(self) -> str:
        """Where the issuer publishes its keys."""
        return self.jwks_url or f"{self.better_auth_url}{JWKS_PATH}"

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The browser origins that may call the API."""
        return self.cors_origins or (origin_of(self.better_auth_url),)

    @property
    def own_url(self) -> str | None:
        """The service as its clients reach it, where that is known."""
        if self.service_url is None and self.environment == "development":
            return f"http://localhost:{self.port}"
        return self.service_url

    @property
    def limits(self) -> Mapping[Kind, str]:
        """The rate limits."""
        return {
            "register": self.rate_limit_register,
            "login": self.rate_limit_login,
            "refresh": self.rate_limit_refresh,
            "account": self.rate_limit_account,
            "tasks": self.rate_limit_tasks,
        }

    @property
    def rate_limit_url(self) -> str | None:
        """Where they are counted; None for this process. It may hold a password."""
        url = self.rate_limit_storage
        return None if url is None else url.get_secret_value()

    @property
    def secret(self) -> bytes:
        """The key of our own signatures (cursors). Never used for tokens."""
        if self.service_secret is None:
            raise SettingsError(["SERVICE_SECRET: missing"])
        return self.service_secret.get_secret_value().encode()
