"""A PostgreSQL URL as providers print it -> what SQLAlchemy and asyncpg take.

Neon prints `postgresql://user:password@host/db?sslmode=require&channel_binding=require`; asyncpg
knows neither parameter. `sslmode` becomes a TLS context, and one that verifies: libpq's `require`
encrypts to whoever answers, which protects nothing. Where the URL says nothing, only this machine
is reached without TLS. Channel binding is not available in asyncpg.
"""

import logging
import ssl
from dataclasses import dataclass
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from keys.origins import is_loopback
from service.neon import direct, pooled

logger = logging.getLogger("service")

_SCHEMES: Final = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})
_VERIFIED: Final = frozenset({"require", "verify-ca", "verify-full"})
_MAX_PORT: Final = 65_535
_PLAIN: Final = frozenset({"disable"})


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where to connect, and whether over verified TLS. `url` holds the password: do not log it."""

    url: URL
    tls: bool

    @property
    def dsn(self) -> str:
        """The URL with its password, as asyncpg itself takes it."""
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def ssl_argument(self) -> ssl.SSLContext | bool:
        """Give asyncpg's `ssl` argument, stated in either case: its own default is to try."""
        return ssl.create_default_context() if self.tls else False

    def connect_args(self) -> dict[str, ssl.SSLContext | bool]:
        """Give the argument by its name."""
        return {"ssl": self.ssl_argument()}


def without_pooler(text: str) -> str:
    """Give a URL that is known to be fine without Neon's pooler between."""
    url = make_url(text)
    return url.set(host=direct(url.host or "")).render_as_string(hide_password=False)


def url_for(text: str, *, user: str, password: str, pooler: bool) -> str:
    """Give the URL of another role on the same database, as one may keep it in a setting."""
    url = make_url(text)
    host = url.host or ""
    query = {name: value for name, value in url.query.items() if name != "channel_binding"}
    return url.set(
        drivername="postgresql",
        username=user,
        password=password,
        host=pooled(host) if pooler else direct(host),
        query=query,
    ).render_as_string(hide_password=False)


def parse_database_url(text: str) -> DatabaseUrl:
    """Take a URL apart. Raises `ValueError`, without quoting the URL: it holds a password."""
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
        raise ValueError("the host is no host name") from None
    query = dict(url.query)
    sslmode = query.pop("sslmode", None)
    if query.pop("channel_binding", None) not in (None, "disable"):
        logger.info("channel_binding in a database URL is not honoured: asyncpg has none")
    if query:
        raise ValueError(f"unknown parameters: {', '.join(sorted(query))}")
    if sslmode is not None and sslmode not in _VERIFIED | _PLAIN:
        raise ValueError("sslmode must be require, verify-ca, verify-full or disable")
    tls = not is_loopback(url.host) if sslmode is None else sslmode in _VERIFIED
    return DatabaseUrl(url.set(drivername="postgresql+asyncpg", query={}), tls)
