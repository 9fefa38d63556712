"""Connections to PostgreSQL, each operation bounded in time.

asyncpg supports neither `sslmode=require` with a verified certificate nor `channel_binding`, which
are in Neon's URLs. So `sslmode` becomes a TLS context that verifies the certificate, and
`channel_binding` is ignored. Without `sslmode`, only this machine is reached without TLS.
"""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg

from better_auth_keys.origins import is_loopback

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
"""What opening and using a connection raises. `TimeoutError` is an `OSError`."""
SECONDS: Final = 5.0
"""How long it may take to connect, and to execute one statement."""
_SCHEMES: Final = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})
_VERIFIED: Final = frozenset({"require", "verify-ca", "verify-full"})


class Address:
    """Where to connect. Raises `ValueError`, without quoting the URL: it holds a password."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            query = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        except ValueError:
            parts, query = urlsplit(""), {}
        hosts = [_host(one) for one in parts.netloc.rpartition("@")[2].split(",")]
        if parts.scheme not in _SCHEMES or not all(hosts):
            raise ValueError("not a database URL: postgresql://user:password@host/database")
        sslmode = query.pop("sslmode", None)
        query.pop("channel_binding", None)
        if sslmode not in {None, "disable", *_VERIFIED}:
            raise ValueError("sslmode must be require, verify-ca, verify-full or disable")
        self._tls = sslmode in _VERIFIED
        if sslmode is None:
            self._tls = not all(map(is_loopback, hosts))
        self._dsn = parts._replace(scheme="postgresql", query=urlencode(query)).geturl()

    async def open(self) -> Connection:
        """Return a new connection. Raises one of `ERRORS`."""
        return await asyncpg.connect(
            self._dsn,
            # Always explicit: by default asyncpg only tries TLS.
            ssl=ssl.create_default_context() if self._tls else False,
            timeout=SECONDS,
            command_timeout=SECONDS,
            statement_cache_size=0,  # unnamed statements, so that none stays at a pooler
            server_settings={"application_name": "better-auth-keys"},
        )


def _host(text: str) -> str:
    """Return the host of `host:port` or `[address]:port`."""
    address, bracket, _ = text.partition("]")
    return f"{address}{bracket}" if bracket else text.partition(":")[0]


class Reader:
    """One connection that executes statements in turn, and is opened again when it was lost."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()

    async def fetch(self, sql: str, *arguments: object) -> Sequence[asyncpg.Record]:
        """Execute a statement and return its rows. Raises one of `ERRORS`."""
        async with self._turn:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._address.open()
            try:
                return await self._connection.fetch(sql, *arguments)
            except asyncpg.PostgresError:
                raise
            except BaseException:
                # What this connection answers next may belong to the interrupted statement.
                self.close()
                raise

    def close(self) -> None:
        """Close the connection at once. The next statement opens another."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
