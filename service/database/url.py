"""Convert a PostgreSQL URL from a provider to the forms that asyncpg and SQLAlchemy accept.

Neon prints `postgresql://user:password@host/db?sslmode=require&channel_binding=require`, but
asyncpg supports neither parameter. `sslmode` becomes a TLS context that verifies the certificate:
libpq's `require` encrypts without verifying the server, which does not stop an attacker in between.
Without `sslmode`, only this machine is reached without TLS. asyncpg has no channel binding.

`prepared_statement_cache_size=0` (SQLAlchemy's name) is accepted in DATABASE_URL only. It disables
prepared statements for transaction poolers that do not support them (PgBouncer before 1.21).
"""

import logging
import re
import ssl
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, unquote

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_plain_validator_function, to_string_ser_schema

from better_auth_keys import is_loopback
from service.database.neon import direct, pooled

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

logger = logging.getLogger("service")

_SCHEMES: Final = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})
_VERIFIED: Final = frozenset({"require", "verify-ca", "verify-full"})
_MAX_PORT: Final = 65_535
_PLAIN: Final = frozenset({"disable"})
_URL: Final = re.compile(
    r"(?P<scheme>[\w+]+)://"
    r"(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:\[(?P<ipv6>[^/?]+)\]|(?P<name>[^/:?]+))?(?::(?P<port>[0-9]*))?"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
)
_CACHE_SIZE: Final = "prepared_statement_cache_size"


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where to connect, and whether over verified TLS. `str` and `repr` mask the password.

    `sslmode` is None if the URL has none.
    """

    user: str
    password: str | None = field(repr=False)
    host: str
    port: int | None
    database: str
    sslmode: str | None
    prepared_statements: bool = True

    def __str__(self) -> str:
        return self._written("***") + self._parameters()

    @property
    def url(self) -> "URL":
        """SQLAlchemy's form of the URL, without parameters but with the password."""
        # Only commands need it. The service does not import SQLAlchemy: see statements.py.
        from sqlalchemy.engine import URL  # noqa: PLC0415 - see above

        return URL.create(
            "postgresql+asyncpg", self.user, self.password, self.host, self.port, self.database
        )

    @property
    def tls(self) -> bool:
        """Whether to connect over TLS. The certificate is then verified."""
        if self.sslmode is None:
            return not is_loopback(self.host)
        return self.sslmode in _VERIFIED

    @property
    def setting(self) -> str:
        """The URL with its password, in the form for a setting."""
        return self.dsn + self._parameters()

    @property
    def dsn(self) -> str:
        """The URL with its password, in the form for asyncpg."""
        return self._written(quote(self.password or "", safe=" +"))

    def ssl_argument(self) -> ssl.SSLContext | bool:
        """Return asyncpg's `ssl` argument, always explicit: by default asyncpg only tries TLS."""
        return ssl.create_default_context() if self.tls else False

    def connect_args(self) -> dict[str, ssl.SSLContext | bool]:
        """Return the arguments for SQLAlchemy's `connect_args`."""
        return {"ssl": self.ssl_argument()}

    def without_pooler(self) -> "DatabaseUrl":
        """Return the same database, reached without Neon's pooler."""
        return replace(self, host=direct(self.host))

    def of_role(self, user: str, password: str, *, pooler: bool) -> "DatabaseUrl":
        """Return the URL of the same database for another role."""
        host = pooled(self.host) if pooler else direct(self.host)
        return replace(self, user=user, password=password, host=host)

    def _written(self, password: str) -> str:
        password = "" if self.password is None else f":{password}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        user, database = quote(self.user, safe=" +"), quote(self.database, safe=" +/")
        return f"postgresql://{user}{password}@{host}{port}/{database}"

    def _parameters(self) -> str:
        parameters = [] if self.prepared_statements else [f"{_CACHE_SIZE}=0"]
        parameters += [] if self.sslmode is None else [f"sslmode={self.sslmode}"]
        return f"?{'&'.join(parameters)}" if parameters else ""

    @classmethod
    def __get_pydantic_core_schema__(cls, _: object, __: GetCoreSchemaHandler) -> CoreSchema:
        """Allow a model's field of this type to be set from text."""
        return no_info_plain_validator_function(_validate, serialization=to_string_ser_schema())


def _validate(value: object) -> DatabaseUrl:
    if isinstance(value, DatabaseUrl):
        return value
    return parse_database_url(value if isinstance(value, str) else "")


def parse_database_url(text: str, *, pooler_options: bool = False) -> DatabaseUrl:
    """Parse a URL. `pooler_options` allows `prepared_statement_cache_size`.

    Raises `ValueError`, without quoting the URL: it holds a password.
    """
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError("not a database URL: postgresql://user:password@host/database")
    if found["scheme"] not in _SCHEMES:
        raise ValueError("must begin with postgresql://")
    host = found["name"] or found["ipv6"]
    if not host or not found["database"] or not found["user"]:
        raise ValueError("must name a user, a host and a database")
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 1 <= port <= _MAX_PORT:
        raise ValueError(f"the port must be from 1 to {_MAX_PORT}")
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError("the host is not a valid host name") from None
    query = _query(found["query"] or "")
    sslmode = query.pop("sslmode", None)
    cache_size = query.pop(_CACHE_SIZE, None) if pooler_options else None
    if query.pop("channel_binding", None) not in (None, "disable"):
        logger.info("channel_binding in the database URL is ignored: asyncpg does not support it")
    if query:
        raise ValueError(f"unknown parameters: {', '.join(sorted(query))}")
    if sslmode is not None and sslmode not in _VERIFIED | _PLAIN:
        raise ValueError("sslmode must be require, verify-ca, verify-full or disable")
    if cache_size not in (None, "0"):
        raise ValueError(f"{_CACHE_SIZE} must be 0, which disables prepared statements")
    return DatabaseUrl(
        user=unquote(found["user"]),
        password=None if found["password"] is None else unquote(found["password"]),
        host=host,
        port=port,
        database=unquote(found["database"]),
        sslmode=sslmode,
        prepared_statements=cache_size is None,
    )


def _query(text: str) -> dict[str, str]:
    parameters = parse_qsl(text)
    query = dict(parameters)
    if len(query) != len(parameters):
        raise ValueError("a parameter occurs more than once")
    return query
