"""Convert a PostgreSQL URL from a provider to the forms that asyncpg and SQLAlchemy accept.

Neon prints `postgresql://user:password@host/db?sslmode=require&channel_binding=require`, but
asyncpg supports neither parameter. `sslmode` becomes a TLS context that verifies the certificate:
libpq's `require` encrypts without verifying the server, which does not stop an attacker in between.
Without `sslmode`, only this machine is reached without TLS. asyncpg has no channel binding.

A URL can name several hosts of one database, as libpq allows:
`postgresql://app:pw@a.example.com:5432,b.example.com/db`. `target_session_attrs` determines which
of them is used. Its default is `read-write` with several hosts, because the service must be able to
write, and `any` with one host.

`prepared_statement_cache_size=0` (SQLAlchemy's name) is accepted in DATABASE_URL only. It disables
prepared statements for transaction poolers that do not support them (PgBouncer before 1.21).
"""

import logging
import re
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import parse_qsl, quote, unquote

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_plain_validator_function, to_string_ser_schema

from better_auth_keys import is_loopback
from service.database.neon import direct, pooled

logger = logging.getLogger("service")

_SCHEMES: Final = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})
_VERIFIED: Final = frozenset({"require", "verify-ca", "verify-full"})
_MAX_PORT: Final = 65_535
_PLAIN: Final = frozenset({"disable"})
_URL: Final = re.compile(
    r"(?P<scheme>[\w+]+)://"
    r"(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?P<hosts>[^/?]*)"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
)
_HOST: Final = re.compile(r"(?:\[(?P<ipv6>[^]]+)\]|(?P<name>[^:]+))?(?::(?P<port>[0-9]*))?")
_CACHE_SIZE: Final = "prepared_statement_cache_size"
_SESSION: Final = "target_session_attrs"
_ANY: Final = "any"
_SESSIONS: Final = frozenset({_ANY, "read-write", "primary"})

Host = tuple[str, int | None]
"""A host's name or address, and its port if the URL has one."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where to connect, and whether over verified TLS. `str` and `repr` mask the password.

    `hosts` are in the order of the URL. `sslmode` is None if the URL has none.
    """

    user: str
    password: str | None = field(repr=False)
    hosts: tuple[Host, ...]
    database: str
    sslmode: str | None
    session: str = _ANY
    prepared_statements: bool = True

    def __str__(self) -> str:
        return self._written("***") + _query_of(self._parameters)

    @property
    def place(self) -> str:
        """The hosts, as they are written in the URL."""
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
        return self._written(self._password) + _query_of(self._parameters)

    @property
    def dsn(self) -> str:
        """The URL with its password, in the form for asyncpg."""
        session = [] if self.session == _ANY else [f"{_SESSION}={self.session}"]
        return self._written(self._password) + _query_of(session)

    def ssl_argument(self) -> ssl.SSLContext | bool:
        """Return asyncpg's `ssl` argument, always explicit: by default asyncpg only tries TLS."""
        return ssl.create_default_context() if self.tls else False

    def each_host(self) -> "tuple[DatabaseUrl, ...]":
        """Return one URL for each host."""
        # Whether to use TLS depends on all hosts together.
        sslmode = self.sslmode or ("verify-full" if self.tls else "disable")
        return tuple(replace(self, hosts=(host,), sslmode=sslmode) for host in self.hosts)

    def without_pooler(self) -> "DatabaseUrl":
        """Return the same database, reached without Neon's pooler."""
        return self._map_hosts(direct)

    def of_role(self, user: str, password: str, *, pooler: bool) -> "DatabaseUrl":
        """Return the URL of the same database for another role."""
        url = self._map_hosts(pooled if pooler else direct)
        return replace(url, user=user, password=password)

    def _map_hosts(self, change: Callable[[str], str]) -> "DatabaseUrl":
        return replace(self, hosts=tuple((change(name), port) for name, port in self.hosts))

    @property
    def _password(self) -> str:
        return quote(self.password or "", safe=" +")

    def _written(self, password: str) -> str:
        password = "" if self.password is None else f":{password}"
        user, database = quote(self.user, safe=" +"), quote(self.database, safe=" +/")
        return f"postgresql://{user}{password}@{self.place}/{database}"

    @property
    def _parameters(self) -> list[str]:
        parameters = [] if self.prepared_statements else [f"{_CACHE_SIZE}=0"]
        parameters += [] if self.sslmode is None else [f"sslmode={self.sslmode}"]
        is_default = self.session == _default_session(self.hosts)
        return parameters if is_default else [*parameters, f"{_SESSION}={self.session}"]

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
    if not found["hosts"] or not found["database"] or not found["user"]:
        raise ValueError("must name a user, a host and a database")
    hosts = tuple(_parse_host(host) for host in found["hosts"].split(","))
    query = _query(found["query"] or "")
    sslmode = query.pop("sslmode", None)
    session = query.pop(_SESSION, _default_session(hosts))
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
    return DatabaseUrl(
        user=unquote(found["user"]),
        password=None if found["password"] is None else unquote(found["password"]),
        hosts=hosts,
        database=unquote(found["database"]),
        sslmode=sslmode,
        session=session,
        prepared_statements=cache_size is None,
    )


def _parse_host(text: str) -> Host:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError("not a database URL: postgresql://user:password@host/database")
    host = found["name"] or found["ipv6"]
    if not host:
        raise ValueError("must name a user, a host and a database")
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 1 <= port <= _MAX_PORT:
        raise ValueError(f"the port must be from 1 to {_MAX_PORT}")
    try:
        host.encode("idna")
    except UnicodeError:
        raise ValueError("the host is not a valid host name") from None
    return host, port


def _written(host: Host) -> str:
    name, port = host
    name = f"[{name}]" if ":" in name else name
    return name if port is None else f"{name}:{port}"


def _default_session(hosts: Sequence[Host]) -> str:
    return "read-write" if len(hosts) > 1 else _ANY


def _query_of(parameters: Sequence[str]) -> str:
    return f"?{'&'.join(parameters)}" if parameters else ""


def _query(text: str) -> dict[str, str]:
    parameters = parse_qsl(text)
    query = dict(parameters)
    if len(query) != len(parameters):
        raise ValueError("a parameter occurs more than once")
    return query
