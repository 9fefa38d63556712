"""Every setting of the service, checked at start; all mistakes are reported at once.

Settings come from the environment or from `.env` (the environment wins), or from a file that
`NAME_FILE` names there. Empty means not set.
`production` is the default, and what would be dangerous there is refused rather than documented.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from limits import RateLimitItem
from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from better_auth_keys import JWKS_PATH, check_key_url, origin_of
from service.database.url import DatabaseUrl
from service.security.rate_limits import Kind, parse_limit
from service.security.revocations import SESSION_LIFETIME
from service.settings.base import SettingsModel
from service.settings.reader import SettingsError
from service.settings.types import (
    Algorithms,
    CertificatesFile,
    CommaSeparated,
    Hosts,
    KeyUrl,
    Networks,
    Port,
    RateLimit,
    RateLimitStorage,
    SessionLifetime,
    require_tls,
    split_list,
)

MIN_SECRET_LENGTH: Final = 32


class Settings(SettingsModel):
    """The service's settings.

    A check that looks at two settings stands with the later of them, and is left out where the
    earlier one is wrong itself: so all mistakes come at once, and each only once.
    """

    environment: Literal["production", "development"] = "production"
    database_url: DatabaseUrl
    direct_database_url: DatabaseUrl | None = None
    plain_http_hosts: Hosts = ()
    better_auth_url: str
    better_auth_internal_url: KeyUrl | None = None
    jwks_url: KeyUrl | None = None
    jwks_file: Path | None = None
    jwt_issuer: CommaSeparated = ()
    jwt_audience: CommaSeparated = ()
    jwt_algorithms: Algorithms = ("EdDSA", "RS256")
    ca_file: CertificatesFile | None = None
    cors_origins: CommaSeparated = ()
    service_url: str | None = None
    web_concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    service_secret: SecretStr | None = None
    host: str = "127.0.0.1"
    port: Port = 8000
    database_pool_size: Annotated[int, Field(ge=1, le=100)] = 10
    database_connect_seconds: Annotated[float, Field(gt=0, le=60)] = 10
    database_prepared_statements: bool = True
    drain_seconds: Annotated[float, Field(ge=0, le=60)] = 0
    account_api: bool = True
    better_auth_seconds: Annotated[float, Field(gt=0, le=60)] = 10
    request_seconds: Annotated[float, Field(gt=0, le=60)] = 5
    rate_limit_storage: RateLimitStorage = None
    rate_limit_register: RateLimit = parse_limit("5/minute")
    rate_limit_login: RateLimit = parse_limit("5/minute")
    rate_limit_refresh: RateLimit = parse_limit("60/minute")
    rate_limit_logout: RateLimit = parse_limit("30/minute")
    rate_limit_account: RateLimit = parse_limit("10/minute")
    rate_limit_tasks: RateLimit = parse_limit("600/minute")
    rate_limit_ipv6_prefix: Annotated[int, Field(ge=32, le=128)] = 64
    rate_limit_fail_open: Annotated[tuple[Kind, ...], BeforeValidator(split_list)] = ("tasks",)
    trusted_proxies: Networks = ()
    session_lifetime: SessionLifetime = SESSION_LIFETIME
    max_tasks_per_user: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    require_verified_email: bool = False

    @field_validator("better_auth_url")
    @classmethod
    def _issuer_url(cls, value: str, info: ValidationInfo) -> str:
        require_tls(value, info)
        return value.rstrip("/")

    @field_validator("jwt_issuer")
    @classmethod
    def _issuer_names(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for name in value:
            require_tls(name, info)
        return value

    @field_validator("jwks_file")
    @classmethod
    def _one_key_source(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        url, issuer = info.data.get("jwks_url", "wrong"), info.data.get("better_auth_url")
        if value is not None and url is not None:
            raise ValueError("cannot be combined with JWKS_URL; set one of them")
        if value is not None and value.is_dir():
            raise ValueError("is a folder")
        internal = info.data.get("better_auth_internal_url", "wrong")
        if value is None and issuer is not None and {url, internal} == {None}:
            try:
                check_key_url(issuer, info.data.get("plain_http_hosts", ()))
            except ValueError as error:
                raise ValueError(f"not set, and for BETTER_AUTH_URL: {error}") from None
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if "*" in value and info.data.get("environment") != "development":
            raise ValueError("'*' is refused in production; list the origins")
        # A browser sends bare origins: with a path or a slash none would ever be equal.
        return tuple(item if item == "*" else require_tls(item, info) for item in value)

    @field_validator("service_url")
    @classmethod
    def _own_origin(cls, value: str | None, info: ValidationInfo) -> str | None:
        return None if value is None else require_tls(value, info)

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
        if len(value.get_secret_value()) < MIN_SECRET_LENGTH:
            raise ValueError(f"needs at least {MIN_SECRET_LENGTH} characters")
        return value

    @property
    def listening_url(self) -> DatabaseUrl:
        """The database without a pooler between, which could not LISTEN."""
        return self.direct_database_url or self.database_url.without_pooler()

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
        return self.jwks_url or f"{self.issuer_url}{JWKS_PATH}"

    @property
    def issuer_url(self) -> str:
        """Where this process reaches Better Auth itself, whatever name it has outside."""
        return (self.better_auth_internal_url or self.better_auth_url).rstrip("/")

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
    def limits(self) -> Mapping[Kind, RateLimitItem]:
        """The rate limits."""
        return {
            "register": self.rate_limit_register,
            "login": self.rate_limit_login,
            "refresh": self.rate_limit_refresh,
            "logout": self.rate_limit_logout,
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
