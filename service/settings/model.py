"""The settings of the service, checked at start. All mistakes are reported at once.

`production` is the default. Settings that are dangerous there are refused, not just documented.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from better_auth_keys import (
    BASE_PATH,
    VerificationPolicy,
    better_auth_jwks_url,
    better_auth_oauth_issuer,
    check_key_url,
    neon_jwks_url,
    origin_of,
)
from service.database.url import DatabaseUrl
from service.security.revocations import SESSION_LIFETIME
from service.settings.address import HOST, PORT
from service.settings.base import SettingsModel
from service.settings.previous_audience import accepted_for_one_release
from service.settings.reader import SettingsError
from service.settings.telemetry import (
    CollectorHeaders,
    CollectorUrl,
    LogFormat,
    TraceSampler,
    headers_in,
)
from service.settings.types import (
    DEFAULT_LIMITS,
    Algorithms,
    BasePath,
    CertificatesFile,
    CommaSeparated,
    Hosts,
    HttpKeyUrl,
    IssuerNames,
    KeyUrl,
    Limits,
    Networks,
    Origin,
    Port,
    RateLimitStorage,
    ServiceDatabaseUrl,
    SessionLifetime,
    TokenKinds,
    WritableFolder,
    file_path,
    require_tls,
)

MIN_SECRET_LENGTH: Final = 32


class Settings(SettingsModel):
    """The service's settings.

    A check of two settings belongs to the later of them, and is skipped if the earlier one is wrong
    itself. So all mistakes are reported at once, and each of them once.
    """

    environment: Literal["production", "development"] = "production"
    """`production` refuses what would be dangerous there. `development` is for one machine."""

    database_url: ServiceDatabaseUrl
    """PostgreSQL as role `app`, which row-level security binds. The URL that Neon prints can be
    used as it is. TLS is verified; only this machine, and a URL with `sslmode=disable`, is reached
    without it. With several hosts (`@a:5432,b:5432/`), the one that accepts writes is used
    (`target_session_attrs=read-write`, the default then; also `primary` or `any`). Add
    `prepared_statement_cache_size=0` behind a transaction pooler that does not support prepared
    statements (PgBouncer before 1.21)."""

    direct_database_url: DatabaseUrl | None = None
    """The same database without a transaction pooler, which cannot LISTEN. Changed keys and
    revocations arrive over it at once. Default: `DATABASE_URL` without Neon's pooler."""

    heartbeat_seconds: Annotated[float, Field(ge=1, le=60)] = 5
    """How often each process sends itself a notification, to check that notifications arrive. If
    one does not arrive within 3 s, the LISTEN connection was cut, and the process polls for
    revocations as often as this until notifications arrive again. Each check is one small
    statement. Processes also poll every 30 s, so a database that scales to zero stays awake
    whatever the value."""

    plain_http_hosts: Hosts = ()
    """Hosts that may be reached without TLS, besides this machine, such as a container's name;
    comma-separated."""

    better_auth_url: str
    """The URL of the app that runs Better Auth. Its origin is the issuer of tokens."""

    better_auth_internal_url: HttpKeyUrl | None = None
    """Where the service and `rotate-keys` reach Better Auth inside a private network. Default:
    `BETTER_AUTH_URL`."""

    better_auth_base_path: BasePath = BASE_PATH
    """The path at which Better Auth answers (its option `basePath`)."""

    neon_auth: bool = False
    """Whether `BETTER_AUTH_URL` is that of Neon's managed Better Auth. Its keys are at
    `/.well-known/jwks.json` below that URL, and it has no base path."""

    jwks_url: KeyUrl | None = None
    """Where the issuer's public keys are. `file:///path/to/jwks.json` reads them from a file, and
    again when it changes. Default: `/jwks` below `BETTER_AUTH_BASE_PATH` at
    `BETTER_AUTH_INTERNAL_URL`."""

    jwt_kinds: TokenKinds = ("session",)
    """The kinds of tokens to accept, comma-separated: `session` for tokens of Better Auth's jwt
    plugin, and `oauth` for OAuth access tokens of its oauth-provider plugin, which are limited to
    their scopes (`tasks:read`, `tasks:write`)."""

    jwt_issuer: IssuerNames = ()
    """The names of the one issuer, comma-separated, for all kinds of tokens. Default: for session
    tokens the origin of `BETTER_AUTH_URL`, and for OAuth access tokens `BETTER_AUTH_URL` with
    `BETTER_AUTH_BASE_PATH`. Set it if the jwt plugin's option `issuer` is set."""

    jwt_audience: CommaSeparated = ()
    """Audiences, of which a token must carry one; comma-separated. Set it only if another app than
    web/ signs the tokens. Default: `SERVICE_URL`, and in this release also the origin of
    `BETTER_AUTH_URL`. Without `SERVICE_URL`: that origin. OAuth access tokens name the `resource`
    that their client asked for."""

    jwt_algorithms: Algorithms = ("EdDSA", "RS256")
    """Accepted signature algorithms, among EdDSA (also called Ed25519), RS256, PS256, ES256 and
    ES512. There are no shared secrets."""

    ca_file: CertificatesFile | None = None
    """A PEM file of certificate authorities to trust besides the system's, for reaching Better
    Auth."""

    key_cache: WritableFolder | None = None
    """An existing folder for a file (mode 0600) with the issuer's keys. A process that starts while
    Better Auth cannot be reached uses these keys until 24 hours after they were fetched. Processes
    of one user can share the folder. Default: keys are not kept."""

    cors_origins: CommaSeparated = ()
    """Browser origins that may call the API, comma-separated. Default: the origin of
    `BETTER_AUTH_URL`."""

    service_url: Origin | None = None
    """The origin of the service as its clients reach it; the same for the service and web/, which
    calls it. Tokens are signed for it: it is their audience. Challenges name it (RFC 9728).
    Default: in development `http://localhost:<PORT>`, which is not an audience."""

    web_concurrency: Annotated[int, Field(ge=1, le=64)] = 1
    """Worker processes."""

    service_secret: SecretStr | None = None
    """Signs page cursors, and hides the owners in notifications of changed tasks: at least 32
    characters, the same on every replica. Never used for tokens. Required in production
    (`openssl rand -base64 32`)."""

    host: str = HOST
    """The address to listen on."""

    port: Port = PORT
    """The port to listen on."""

    database_pool_size: Annotated[int, Field(ge=1, le=100)] = 10
    """Database connections of each process."""

    database_connection_seconds: Annotated[float, Field(ge=1, le=86_400)] = 1800
    """The age at which a database connection is replaced, in seconds. The new connection looks up
    the host's name again, and chooses among several hosts."""

    drain_seconds: Annotated[float, Field(ge=0, le=60)] = 0
    """How long to serve on after SIGTERM, with `/readyz` answering 503, so that load balancers stop
    sending requests."""

    account_api: bool = True
    """`false` if no Better Auth runs, as with `./scripts/dev --api`: register, login, refresh, and
    logout with a refresh token then answer 501."""

    request_seconds: Annotated[float, Field(gt=0, le=60)] = 10
    """How long a request waits for another system before it is answered with 503. It limits each
    statement in the database, together with opening a connection for it, and each call to Better
    Auth. A database that sleeps, as on Neon, takes seconds to wake."""

    max_requests_in_flight: Annotated[int, Field(ge=16, le=100_000)] = 640
    """How many requests each process admits at once; further ones are answered with 503 at once.
    One address or one user gets at most two thirds. Four for each connection of the pool run at a
    time and the others wait, so a higher value makes all of them slower under load."""

    rate_limits: Limits = DEFAULT_LIMITS
    """Limits by kind; kinds that are not named keep their default. register, login, refresh and
    logout count by client address, account by the e-mail address of a sign-in or registration, and
    tasks by user. Beyond a limit, requests are answered with 429."""

    rate_limit_storage: RateLimitStorage = None
    """`redis://...` or `valkey://...`, for several processes to count together. Default: each
    process counts on its own, as it also does while the storage is unavailable."""

    trusted_proxies: Networks = ()
    """Addresses and networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted,
    comma-separated."""

    session_lifetime: SessionLifetime = SESSION_LIFETIME
    """How long a session lives after its last use, at most 400d; the same for the service, web/ and
    `revoke-tokens`. Tokens of an ended session are refused for this long after the last one
    that was refused."""

    max_tasks_per_user: Annotated[int, Field(ge=1, le=10_000_000)] = 10_000
    """Tasks of one user, without deleted ones. Beyond it, creating one is answered with 409."""

    task_events: bool = False
    """Notify all processes of each changed task, for `GET /api/tasks/events`, which otherwise
    answers 501. Each change then takes about a quarter more CPU time, and PostgreSQL commits
    changes one after another. Measured: 160 to 700 changes a second instead of 1,000 to 2,300 on
    a local disk, and 100 where a commit takes 5 ms (`python -m benchmarks.notifying`)."""

    max_event_streams_per_user: Annotated[int, Field(ge=1, le=1000)] = 10
    """Streams of events that one user may have open at each process. Beyond it, opening one is
    answered with 429."""

    max_event_streams: Annotated[int, Field(ge=1, le=100_000)] = 5000
    """Streams of events that each process holds open; further ones are answered with 503. One
    address gets at most two thirds."""

    require_verified_email: bool = False
    """The service refuses tokens, with 403, whose claim `emailVerified` is not true. OAuth access
    tokens have no such claim unless Better Auth is configured to add it. web/ refuses to sign in
    such users; its default is true if `SMTP_URL` is set."""

    log_format: LogFormat = "text"
    """`json` writes every line of the log as a JSON object, with `trace_id` and `span_id` where a
    span is recorded. The security log is JSON in any case."""

    log_requests: bool = True
    """The service writes a line for each request. `docker-compose.yml` switches this off: its proxy
    writes one already, so the security log is kept longer."""

    otel_exporter_otlp_endpoint: CollectorUrl | None = None
    """The base URL of an OpenTelemetry collector, such as `http://localhost:4318`, which gets spans
    over OTLP/HTTP (`/v1/traces`). It must be https, or on this machine or a host of
    `PLAIN_HTTP_HOSTS`. Default: no spans are recorded."""

    otel_exporter_otlp_headers: CollectorHeaders = None
    """Headers for the collector, as `name=value,name=value` with percent-encoded values."""

    otel_service_name: str = "better-auth-resource-server"
    """The name of the service in spans (`service.name`). web/ has the default `better-auth-web`;
    compose and `./scripts/dev` set the service's only."""

    otel_traces_sampler: TraceSampler = "parentbased_always_on"
    """Which traces are recorded. The `parentbased_` samplers let clients decide, by the flag in
    `traceparent`; `traceidratio` does not."""

    otel_traces_sampler_arg: Annotated[float, Field(ge=0, le=1)] = 1
    """The part of the traces that the `traceidratio` samplers record, from 0 to 1."""

    @field_validator("better_auth_url")
    @classmethod
    def _issuer_url(cls, value: str, info: ValidationInfo) -> str:
        require_tls(value, info)
        return value.rstrip("/")

    @field_validator("jwks_url")
    @classmethod
    def _key_source(cls, value: str | None, info: ValidationInfo) -> str | None:
        issuer = info.data.get("better_auth_url")
        internal = info.data.get("better_auth_internal_url", "wrong")
        if issuer is not None and value is None and internal is None:
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
        # A browser sends bare origins, which never equal a URL with a path or a trailing slash.
        return tuple(item if item == "*" else require_tls(item, info) for item in value)

    @field_validator("service_secret")
    @classmethod
    def _long_secret(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            if info.data.get("web_concurrency", 1) > 1:
                raise ValueError("required by WEB_CONCURRENCY: workers read each other's cursors")
            if info.data.get("environment") == "development":
                # Cursors then become invalid when the developer's process ends.
                return SecretStr(secrets.token_urlsafe(MIN_SECRET_LENGTH))
            raise ValueError("required in production (openssl rand -base64 32)")
        if len(value.get_secret_value()) < MIN_SECRET_LENGTH:
            raise ValueError(f"needs at least {MIN_SECRET_LENGTH} characters")
        return value

    @property
    def listening_url(self) -> DatabaseUrl:
        """The database without a transaction pooler, which cannot LISTEN."""
        return self.direct_database_url or self.database_url.without_pooler()

    @property
    def issuers(self) -> frozenset[str]:
        """The names of the one issuer in session tokens."""
        return frozenset(self.jwt_issuer or (origin_of(self.better_auth_url),))

    @property
    def oauth_issuers(self) -> frozenset[str]:
        """The names of the one issuer in OAuth access tokens."""
        base = better_auth_oauth_issuer(self.better_auth_url, self.base_path)
        return frozenset(self.jwt_issuer or (base,))

    @property
    def current_audiences(self) -> frozenset[str]:
        """The audiences that tokens are signed for. web/ follows the same rule."""
        issuer_origin = origin_of(self.better_auth_url)
        return frozenset(self.jwt_audience or (self.service_url or issuer_origin,))

    @property
    def audiences(self) -> frozenset[str]:
        """The accepted audiences; a token must name one of them."""
        if self.jwt_audience:
            return self.current_audiences
        return accepted_for_one_release(self.current_audiences, origin_of(self.better_auth_url))

    @property
    def policy(self) -> VerificationPolicy:
        """Which tokens are accepted."""
        algorithms, oauth = self.jwt_algorithms, "oauth" in self.jwt_kinds
        if "session" not in self.jwt_kinds:
            return VerificationPolicy(
                self.oauth_issuers, self.audiences, algorithms=algorithms, profile="rfc9068"
            )
        return VerificationPolicy(
            self.issuers,
            self.audiences,
            algorithms=algorithms,
            oauth_issuers=self.oauth_issuers if oauth else (),
        )

    @property
    def base_path(self) -> str:
        """The path at which Better Auth answers."""
        return "" if self.neon_auth else self.better_auth_base_path

    @property
    def issuer_api_url(self) -> str:
        """Where this process reaches the API of Better Auth."""
        return f"{self.issuer_url}{self.base_path}"

    @property
    def key_url(self) -> str:
        """Where the issuer's keys are: an http(s) or a `file:` URL."""
        if self.jwks_url is not None:
            return self.jwks_url
        if self.neon_auth:
            return neon_jwks_url(self.issuer_url)
        return better_auth_jwks_url(self.issuer_url, self.base_path)

    @property
    def jwks_file(self) -> Path | None:
        """The file with the issuer's keys, if JWKS_URL names one."""
        return file_path(self.key_url)

    @property
    def issuer_url(self) -> str:
        """Where this process reaches Better Auth, which may have another name outside."""
        return (self.better_auth_internal_url or self.better_auth_url).rstrip("/")

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The browser origins that may call the API."""
        return self.cors_origins or (origin_of(self.better_auth_url),)

    @property
    def own_url(self) -> str | None:
        """The origin of the service as its clients reach it, if it is known."""
        if self.service_url is None and self.environment == "development":
            return f"http://localhost:{self.port}"
        return self.service_url

    @property
    def rate_limit_url(self) -> str | None:
        """The store of the rate limits, or None for this process. It may hold a password."""
        url = self.rate_limit_storage
        return None if url is None else url.get_secret_value()

    @property
    def collector_headers(self) -> Mapping[str, str]:
        """The headers for the collector of spans. They may hold a password."""
        text = self.otel_exporter_otlp_headers
        return {} if text is None else headers_in(text.get_secret_value())

    @property
    def secret(self) -> bytes:
        """The service's own secret, from which keys are derived. Never used for tokens."""
        if self.service_secret is None:
            raise SettingsError(["SERVICE_SECRET: not set"])
        return self.service_secret.get_secret_value().encode()
