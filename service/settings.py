"""Every setting of the service, checked at start; all mistakes are reported at once.

Settings come from the environment or from `.env` (the environment wins). Empty means not set.
`production` is the default, and what would be dangerous there is refused rather than documented.
"""

import secrets
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator
from pydantic import ValidationError as PydanticValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from keys.fetch import check_key_url, is_loopback
from keys.jwk import ALGORITHMS, canonical_algorithm
from keys.origins import host_of, origin_of
from keys.verifier import JWKS_PATH
from service.database_url import parse_database_url

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
    unknown = [name for name in names if canonical_algorithm(name) not in ALGORITHMS]
    if unknown:
        known = ", ".join(ALGORITHMS)
        raise ValueError(f"only asymmetric algorithms are known: {known} (or Ed25519)")
    return names


def _database_url(value: SecretStr) -> SecretStr:
    parse_database_url(value.get_secret_value())
    return value


_CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """The service's settings; the names of the variables are these in capitals."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    environment: Literal["production", "development"] = "production"
    database_url: Annotated[SecretStr, AfterValidator(_database_url)]
    better_auth_url: Annotated[str, AfterValidator(lambda url: url.rstrip("/"))]
    jwks_url: str | None = None
    jwks_file: Path | None = None
    jwt_issuer: _CommaSeparated = ()
    jwt_audience: _CommaSeparated = ()
    jwt_algorithms: Annotated[_CommaSeparated, AfterValidator(_known_algorithms)] = (
        "EdDSA",
        "RS256",
    )
    plain_http_hosts: _CommaSeparated = ()
    ca_file: Path | None = None
    cors_origins: _CommaSeparated = ()
    service_url: Annotated[str, AfterValidator(origin_of)] | None = None
    service_secret: SecretStr | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8000
    web_concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    database_pool_size: Annotated[int, Field(ge=1, le=100)] = 10

    @classmethod
    def load(cls, **overrides: Any) -> Self:
        """Read the settings; raises `SettingsError` with every mistake in it."""
        try:
            return cls(**overrides)
        except PydanticValidationError as error:
            lines = []
            for mistake in error.errors(include_input=False, include_url=False):
                name = ".".join(str(part) for part in mistake["loc"][:1]).upper()
                text = mistake["msg"].removeprefix("Value error, ")
                if mistake["type"] == "missing":
                    text = "required; see .env.example"
                lines += [f"{name}: {text}"] if name else text.split("\n")
            raise SettingsError(lines) from None

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
    def secret(self) -> bytes:
        """The key of our own signatures (cursors). Never used for tokens."""
        if self.service_secret is None:
            raise SettingsError(["SERVICE_SECRET: missing"])
        return self.service_secret.get_secret_value().encode()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        mistakes = [*self._key_source_mistakes(), *self._secret_mistakes()]
        if self.environment == "production" and "*" in self.cors_origins:
            mistakes.append("CORS_ORIGINS: '*' is refused in production; list the origins")
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    def _key_source_mistakes(self) -> list[str]:
        mistakes = []
        try:
            origin_of(self.better_auth_url)
        except ValueError as error:
            return [f"BETTER_AUTH_URL: {error}"]
        if self.environment == "production" and not self._may_be_plain(self.better_auth_url):
            mistakes.append("BETTER_AUTH_URL: must be https in production")
        if self.jwks_file is not None and self.jwks_url is not None:
            mistakes.append("JWKS_FILE: cannot be combined with JWKS_URL; set one of them")
        if self.jwks_file is None:
            try:
                check_key_url(self.key_url, self.plain_http_hosts)
            except ValueError as error:
                mistakes.append(f"JWKS_URL: {error}")
        if self.ca_file is not None and not self.ca_file.is_file():
            mistakes.append("CA_FILE: there is no such file")
        return mistakes

    def _may_be_plain(self, url: str) -> bool:
        host = host_of(url)
        return url.startswith("https://") or host in self.plain_http_hosts or is_loopback(host)

    def _secret_mistakes(self) -> list[str]:
        if self.service_secret is None:
            if self.environment == "production":
                return ["SERVICE_SECRET: required in production (openssl rand -base64 32)"]
            # One process, one developer: cursors die with the process and nobody minds.
            self.service_secret = SecretStr(secrets.token_urlsafe(32))
        elif len(self.service_secret.get_secret_value()) < MIN_SECRET_LENGTH:
            return [f"SERVICE_SECRET: needs at least {MIN_SECRET_LENGTH} characters"]
        return []
