"""Convert a PostgreSQL URL from a provider to the forms that SQLAlchemy and asyncpg accept.

Neon prints `postgresql://user:password@host/db?sslmode=require&channel_binding=require`, but
asyncpg supports neither parameter. `sslmode` becomes a TLS context that verifies the certificate:
libpq's `require` encrypts without verifying the server, which does not stop an attacker in between.
Without `sslmode`, only this machine is reached without TLS. asyncpg has no channel binding.

A URL may name several hosts of one database, as libpq allows:
`postgresql://app:pw@a.example.com:5432,b.example.com/db`. `target_session_attrs` says which of them
is used. Its default is `read-write` for several hosts, because the service must be able to write,
and `any` for one host.

`prepared_statement_cache_size=0` (SQLAlchemy's name) is accepted in DATABASE_URL only. It disables
prepared statements for transaction poolers that do not support them (PgBouncer before 1.21).
"""

import logging
import re
import ssl
from collections.abc import Callable, Sequence
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
_DEFAULT_PORT: Final = 5432
_PLAIN: Final = frozenset({"disable"})
_CACHE_SIZE: Final = "prepared_statement_cache_size"
_SESSION: Final = "target_session_attrs"
_ANY: Final = "any"
_SESSIONS: Final = frozenset({_ANY, "read-write", "primary"})
# The hosts stand between the role and the path. As in SQLAlchemy, only `@` ends a password.
_AUTHORITY: Final = re.compile(r"([\w+]+://(?:[^:/]*(?::[^@]*)?@)?)([^/?]*)(.*)", re.DOTALL)
# Neither a role's name nor a password can contain this text once it is percent-encoded.
_HOSTS: Final = "hosts"

Host = tuple[str, int | None]
"""A host's name or address, and its port if the URL has one."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where to connect, and whether over verified TLS. `str` and `repr` mask the password.

    `url` is SQLAlchemy's, without parameters but with the password; it has the first host.
    `more_hosts` are the others. `sslmode` is None if the URL has none.
    """

    url: URL
    sslmode: str | None
    prepared_statements: bool = True
    more_hosts: tuple[Host, ...] = ()
    session: str = _ANY

    def __str__(self) -> str:
        return self._render(self._parameters, hide_password=True)

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All hosts, in the order of the URL."""
        return ((self.url.host or "", self.url.port), *self.more_hosts)

    @property
    def place(self) -> str:
        """The hosts as the URL has them, for messages."""
        return ",".join(_written(host) for host in self.hosts)

    @property
    def tls(self) -> bool:
        """Whether to connect over TLS. The certificate of each host is then verified."""
        if self.sslmode is None:
            return not all(is_loopback(name) for name, _ in self.hosts)
        return self.sslmode in _VERIFIED

    @property
    def setting(self) -> str:
        """The URL with its password, in the form for a setting."""
        return self._render(self._parameters, hide_password=False)

    @property
    def dsn(self) -> str:
        """The URL with its password, in the form for asyncpg."""
        session = {} if self.session == _ANY else {_SESSION: self.session}
        return self._render(session, hide_password=False)

    def ssl_argument(self) -> ssl.SSLContext | bool:
        """Return asyncpg's `ssl` argument, always explicit: by default asyncpg only tries TLS."""
        return ssl.create_default_context() if self.tls else False

    def each_host(self) -> "tuple[DatabaseUrl, ...]":
        """Return one URL for each host."""
        if not self.more_hosts:
            return (self,)
        # Whether to use TLS depends on all hosts together.
        sslmode = self.sslmode or ("verify-full" if self.tls else "disable")
        return tuple(
            replace(
                self,
                url=self.url.set(host=name, port=port or _DEFAULT_PORT),
                more_hosts=(),
                sslmode=sslmode,
            )
            for name, port in self.hosts
        )

    def without_pooler(self) -> "DatabaseUrl":
        """Return the same database, reached without Neon's pooler."""
        return self._map_hosts(direct)

    def of_role(self, user: str, password: str, *, pooler: bool) -> "DatabaseUrl":
        """Return the URL of the same database for another role."""
        url = self._map_hosts(pooled if pooler else direct)
        return replace(url, url=url.url.set(username=user, password=password))

    def _map_hosts(self, change: Callable[[str], str]) -> "DatabaseUrl":
        return replace(
            self,
            url=self.url.set(host=change(self.url.host or "")),
            more_hosts=tuple((change(name), port) for name, port in self.more_hosts),
        )

    @property
    def _parameters(self) -> dict[str, str]:
        parameters = {} if self.sslmode is None else {"sslmode": self.sslmode}
        if self.session != _default_session(self.hosts):
            parameters[_SESSION] = self.session
        if not self.prepared_statements:
            parameters[_CACHE_SIZE] = "0"
        return parameters

    def _render(self, parameters: dict[str, str], *, hide_password: bool) -> str:
        url = self.url.set(drivername="postgresql", host=_HOSTS, query=parameters)
        port = "" if url.port is None else f":{url.port}"
        text = url.render_as_string(hide_password=hide_password)
        return text.replace(f"@{_HOSTS}{port}/", f"@{self.place}/", 1)

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
    authority = _AUTHORITY.fullmatch(text)
    if authority is None:
        raise ValueError("not a database URL: postgresql://user:password@host/database")
    before, hosts, after = authority.groups()
    url, *others = (_parse_host(before + host + after) for host in hosts.split(","))
    more_hosts = tuple((other.host or "", other.port) for other in others)
    query = dict(url.query)
    sslmode = query.pop("sslmode", None)
    session = query.pop(_SESSION, _default_session((url.host, *more_hosts)))
    cache_size = query.pop(_CACHE_SIZE, None) if pooler_options else None
    if query.pop("channel_binding", None) not in (None, "disable"):
        logger.info("channel_binding in the database URL is ignored: asyncpg does not support it")
    if query:
        raise ValueError(f"unknown parameters: {', '.join(sorted(query))}")
    if sslmode is not None and sslmode not in _VERIFIED | _PLAIN:
        raise ValueError("sslmode must be require, verify-ca, verify-full or disable")
    if session not in _SESSIONS:
        raise ValueError(f"{_SESSION} must be read-write, primary or any: the service must write")
    if cache_size not in (None, "0"):
        raise ValueError(f"{_CACHE_SIZE} must be 0, which disables prepared statements")
    url = url.set(drivername="postgresql+asyncpg", query={})
    return DatabaseUrl(url, sslmode, cache_size is None, more_hosts, session)


def _parse_host(text: str) -> URL:
    """Parse a URL with one host."""
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
    return url


def _default_session(hosts: Sequence[object]) -> str:
    return "read-write" if len(hosts) > 1 else _ANY


def _written(host: Host) -> str:
    name, port = host
    name = f"[{name}]" if ":" in name else name
    return name if port is None else f"{name}:{port}"
