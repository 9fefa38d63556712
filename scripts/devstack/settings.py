"""The settings of a development stack, from the command line, the environment and `.env`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.devstack.home import DevHome
from scripts.devstack.https import HttpsFront
from scripts.setup.checkout import CHECKOUT
from service.database.url import DatabaseUrl
from service.settings.base import SettingsModel
from service.settings.model import Settings
from service.settings.reader import SettingsError, read
from service.settings.types import HttpKeyUrl, Port, ServiceDatabaseUrl

DEFAULT_HOME: Final = CHECKOUT / ".dev"
# Settings that web/ and the operators' commands must share, with web/'s defaults.
ISSUER_DEFAULTS: Final[Mapping[str, str]] = {
    "ACCESS_TOKEN_LIFETIME": "15m",
    "SESSION_LIFETIME": "7d",
    "SIGNING_ALGORITHM": "EdDSA",
    "JWKS_GRACE_PERIOD": "30d",
}
ISSUER_SECRETS: Final = ("BETTER_AUTH_SECRET", "BETTER_AUTH_SECRETS")
MAIL: Final = ("SMTP_URL", "MAIL_FROM")
# OTEL_SERVICE_NAME is the service's here: web/ keeps its own name.
TRACING: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "PLAIN_HTTP_HOSTS",
)


class UsageError(Exception):
    """The stack cannot start with these settings. The message is one line that says what to set."""


@dataclass(frozen=True)
class DatabaseUrls:
    """One URL for each role. `auth` is None if web/ does not run."""

    app: DatabaseUrl
    owner: DatabaseUrl
    auth: DatabaseUrl | None
    purge: DatabaseUrl | None = None
    revocations_reader: DatabaseUrl | None = None
    """For an application of the developer that follows the revocations."""


class StackSettings(SettingsModel):
    """The stack's own settings. All others are passed on to its programs."""

    port: Port = 8000
    web_port: Port = 3000
    """The port of web/."""

    https_port: Port = 8443
    """The port of the proxy: 8443 with `./scripts/dev --https`, 443 in containers."""

    service_internal_url: HttpKeyUrl | None = None
    """Where web/ reaches the service inside a private network, to delete a user's data before it
    deletes the account. Default: `SERVICE_URL`. `./scripts/dev` sets it for web/."""

    smtp_url: str | None = None
    """The mail server that web/ sends links through, to verify an address or to choose a new
    password: `smtp://user:password@host:587`, where TLS (STARTTLS) is required except on this
    machine, or `smtps://` for TLS from the start. Without it web/ sends no mail, and nobody can
    choose a new password without the old one. `./scripts/dev` keeps all mails in `.dev/mail/`."""

    mail_from: str | None = None
    """The sender of web/'s mails, such as `Tasks <tasks@example.com>`. Required with `SMTP_URL`."""

    database_url: ServiceDatabaseUrl | None = None
    migration_database_url: DatabaseUrl | None = None
    auth_database_url: DatabaseUrl | None = None
    purge_database_url: DatabaseUrl | None = None

    def external(self, *, api_only: bool) -> DatabaseUrls | None:
        """Return the URLs of the database that DATABASE_URL names, if any. Raises `UsageError`."""
        if self.database_url is None:
            return None
        owner, auth = self.migration_database_url, self.auth_database_url
        missing = [] if owner is not None else ["MIGRATION_DATABASE_URL"]
        if auth is None and not api_only:
            missing.append("AUTH_DATABASE_URL")
        if owner is None or missing:
            raise UsageError(
                f"DATABASE_URL is set, so {' and '.join(missing)} must be set too"
                " (or unset DATABASE_URL for the embedded PostgreSQL)"
            )
        auth = None if api_only else auth
        return DatabaseUrls(self.database_url, owner, auth, self.purge_database_url)


@dataclass(frozen=True)
class DevSettings:
    """The stack's settings. `environment` has the settings for its programs."""

    home: Path
    api_only: bool
    port: int
    web_port: int
    https_port: int | None
    environment: Mapping[str, str]
    external: DatabaseUrls | None

    @property
    def web_address(self) -> str:
        """The URL that the web app listens on."""
        return f"http://localhost:{self.web_port}"

    @property
    def service_address(self) -> str:
        """The URL that the service listens on."""
        return f"http://localhost:{self.port}"

    @property
    def front(self) -> HttpsFront | None:
        """The proxy in front of both, with --https."""
        return None if self.https_port is None else HttpsFront(DevHome(self.home), self.https_port)

    @property
    def web_origin(self) -> str:
        """The web app's origin, which is the issuer of tokens."""
        return self.web_address if self.front is None else self.front.app_origin

    @property
    def service_origin(self) -> str:
        """The service's origin, which is the audience of tokens."""
        return self.service_address if self.front is None else self.front.api_origin

    @property
    def ports(self) -> dict[str, int]:
        """The ports that the stack listens on, by the names of their settings."""
        ports = {"PORT": self.port}
        if not self.api_only:
            ports["WEB_PORT"] = self.web_port
        if self.https_port is not None:
            ports["HTTPS_PORT"] = self.https_port
        return ports

    @property
    def mail(self) -> dict[str, str]:
        """The settings of a mail server, if there is one. Otherwise the stack keeps the mails."""
        return self._given(MAIL)

    @property
    def tracing(self) -> dict[str, str]:
        """The settings of traces, which web/ shares with the service."""
        return self._given(TRACING)

    @property
    def issuer_settings(self) -> dict[str, str]:
        """The settings that web/ and the operators' commands must share."""
        return {
            name: self.environment.get(name, default) for name, default in ISSUER_DEFAULTS.items()
        }

    def _given(self, names: Sequence[str]) -> dict[str, str]:
        return {name: self.environment[name] for name in names if name in self.environment}


def read_settings(
    *, home: Path, api_only: bool, https: bool = False, dotenv: Path = Path(".env")
) -> DevSettings:
    """Read the settings. Raises `UsageError`."""
    if https and api_only:
        raise UsageError("--https cannot be combined with --api, which does not run web/")
    names = [*Settings.names(), *ISSUER_DEFAULTS, *ISSUER_SECRETS, *MAIL, "PINNED_KEYS"]
    try:
        reading = read({*names, *StackSettings.names()}, dotenv=dotenv)
        stack = StackSettings.of(reading)
    except SettingsError as error:
        raise UsageError(str(error)) from None
    settings = DevSettings(
        home=home.resolve(),
        api_only=api_only,
        port=stack.port,
        web_port=stack.web_port,
        https_port=stack.https_port if https else None,
        environment={name: reading.given[name].text for name in names if name in reading.given},
        external=stack.external(api_only=api_only),
    )
    taken: dict[int, str] = {}
    for name, port in {"WEB_PORT": settings.web_port, **settings.ports}.items():
        if port in taken:
            raise UsageError(f"{name} and {taken[port]} are both {port}; set different ports")
        taken[port] = name
    return settings
