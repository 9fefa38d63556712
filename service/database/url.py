"""Convert a PostgreSQL URL from a provider to the forms that SQLAlchemy and asyncpg accept.

Neon prints `postgresql://user:password@host/db?sslmode=require&channel_binding=require`, but
asyncpg supports neither parameter. `sslmode` becomes a TLS context that verifies the certificate:
libpq's `require` encrypts without verifying the server, which does not stop an attacker in between.
Without `sslmode`, only this machine is reached without TLS. asyncpg has no channel binding.

`prepared_statement_cache_size=0` (SQLAlchemy's name) is accepted in DATABASE_URL only. It disables
prepared statements for transaction poolers that do not support them (PgBouncer before 1.21).
"""

import logging
import ssl
from dataclasses import dataclass, replace
from typing import Final

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_plain_validator_function, to_string_ser_schema
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from better_auth_keys import is_loopback
from service.database.neon import direct, pooled

logger = logging.getLogger("service")

_SCHEMES: Final = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})
_VERIFIED: Final = frozenset({"require", "verify-ca", "verify-full"})
_MAX_PORT: Final = 65_535
_PLAIN: Final = frozenset({"disable"})
_CACHE_SIZE: Final = "prepared_statement_cache_size"


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where to connect, and whether over verified TLS. `str` and `repr` mask the password.

    `url` is SQLAlchemy's, without parameters but with the password. `sslmode` is None if the URL
    has none.
    """

    url: URL
    sslmode: str | None
    prepared_statements: bool = True

    def __str__(self) -> str:
        return self._setting.render_as_string(hide_password=True)

    @property
    def tls(self) -> bool:
        """Whether to connect over TLS. The certificate is then verified."""
        if self.sslmode is None:
            return not is_loopback(self.url.host or "")
        return self.sslmode in _VERIFIED

    @property
    def setting(self) -> str:
        """The URL with its password, in the form for a setting."""
        return self._setting.render_as_string(hide_password=False)

    @property
    def dsn(self) -> str:
        """The URL with its password, in the form for asyncpg."""
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def ssl_argument(self) -> ssl.SSLContext | bool:
        """Return asyncpg's `ssl` argument, always explicit: by default asyncpg only tries TLS."""
        return ssl.create_default_context() if self.tls else False

    def connect_args(self) -> dict[str, ssl.SSLContext | bool]:
        """Return the arguments for SQLAlchemy's `connect_args`."""
        return {"ssl": self.ssl_argument()}

    def without_pooler(self) -> "DatabaseUrl":
        """Return the same database, reached without Neon's pooler."""
        return replace(self, url=self.url.set(host=direct(self.url.host or "")))

    def of_role(self, user: str, password: str, *, pooler: bool) -> "DatabaseUrl":
        """Return the URL of the same database for another role."""
        host = self.url.host or ""
        host = pooled(host) if pooler else direct(host)
        return replace(self, url=self.url.set(username=user, password=password, host=host))

    @property
    def _setting(self) -> URL:
        query = {} if self.sslmode is None else {"sslmode": self.sslmode}
        if not self.prepared_statements:
            query[_CACHE_SIZE] = "0"
        return self.url.set(drivername="postgresql", query=query)

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
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError("not a database URL: postgresql://user:password@host/database") from None
    if url.drivername not in _SCHEMES:
        raise ValueError("must begin with postgresql://")
    if not url.host or not url.database or not url.username:
        raise ValueError("must name a user, a host and a database")
    if url.port is not None and not 1 <= url.port <= _MAX_PORT:
        raise ValueError(f"the port must be from 1 to {_MAX_PORT}")
    try:
        url.host.encode("idna")
    except UnicodeError:
        raise ValueError("the host is not a valid host name") from None
    query = dict(url.query)
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
    url = url.set(drivername="postgresql+asyncpg", query={})
    return DatabaseUrl(url, sslmode, prepared_statements=cache_size is None)
