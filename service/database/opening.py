"""Open connections to the first suitable host of a database URL.

1. The host that was suitable last is tried first, then the others in the order of the URL. Each
   gets an equal share of the time that is left, so that a silent host does not use up all of it.
2. A host is skipped if it cannot be reached, is starting or stopping, has no connection to spare,
   or is not what `target_session_attrs` asks for: the old primary after a failover. An error that
   is the same on every host, such as a wrong password, is raised at once.
3. If no host can be reached, all are tried again after short pauses, because name lookups may fail
   for a moment. If that did not help, all are tried only once until one succeeds.
4. The operating system probes each connection while it is idle, and closes it if the other side
   stops acknowledging data. Otherwise, a connection whose server vanished looks open for hours.
"""

import asyncio
import socket
from typing import Final

import asyncpg

from service.database.driver import Connection
from service.database.url import DatabaseUrl

_STATEMENTS_KEPT: Final = 100
_PAUSES: Final = (0.05, 0.1, 0.2, 0.4)
_KEEPALIVE_IDLE_SECONDS: Final = 10
_KEEPALIVE_INTERVAL_SECONDS: Final = 3
_KEEPALIVE_PROBES: Final = 3
_UNACKNOWLEDGED_SECONDS: Final = 10
# macOS has another name for TCP_KEEPIDLE, and TCP_USER_TIMEOUT exists on Linux only.
_TCP_OPTIONS: Final = {
    "TCP_KEEPIDLE": _KEEPALIVE_IDLE_SECONDS,
    "TCP_KEEPALIVE": _KEEPALIVE_IDLE_SECONDS,
    "TCP_KEEPINTVL": _KEEPALIVE_INTERVAL_SECONDS,
    "TCP_KEEPCNT": _KEEPALIVE_PROBES,
    "TCP_USER_TIMEOUT": _UNACKNOWLEDGED_SECONDS * 1000,
}
# Connection exceptions, insufficient resources, and a server that starts or stops.
_NEXT_HOST_SQLSTATES: Final = ("08", "53", "57")


class NoSuitableHostError(ConnectionError):
    """Hosts were reached, but none of them is what `target_session_attrs` asks for."""


class Opener:
    """Opens connections for one database URL."""

    def __init__(
        self,
        url: DatabaseUrl,
        *,
        application: str,
        prepared_statements: bool = True,
        command_seconds: float | None = None,
    ) -> None:
        self._dsns = [host.dsn for host in url.each_host()]
        self._session = url.session
        self._tls = url.ssl_argument()
        self._application = application
        self._command_seconds = command_seconds
        self._failed = False
        # Without a cache, asyncpg uses unnamed statements, so none stays at the pooler.
        self._statement_cache_size = _STATEMENTS_KEPT if prepared_statements else 0

    async def open(self, seconds: float) -> Connection:
        """Return a new connection to the first suitable host.

        Raises `OSError` (`TimeoutError`, `NoSuitableHostError`) or `asyncpg.PostgresError`.
        """
        pauses = [] if self._failed else list(_PAUSES)
        async with asyncio.timeout(seconds) as limit:
            while True:
                left = (limit.when() or 0) - asyncio.get_running_loop().time()
                try:
                    connection = await self._open_first(left)
                except OSError as error:
                    if not pauses or isinstance(error, TimeoutError):
                        self._failed = True
                        raise
                else:
                    self._failed = False
                    return connection
                await asyncio.sleep(pauses.pop(0))

    async def _open_first(self, seconds: float) -> Connection:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        failure: Exception | None = None
        for position, dsn in enumerate(self._dsns.copy()):
            share = (deadline - loop.time()) / (len(self._dsns) - position)
            try:
                connection = await self._open(dsn, share)
            except asyncpg.TargetServerAttributeNotMatched:
                failure = NoSuitableHostError(f"no host accepts {self._session} sessions")
            except asyncpg.PostgresError as error:
                if not (error.sqlstate or "").startswith(_NEXT_HOST_SQLSTATES):
                    raise
                failure = failure or error
            except OSError as error:
                failure = failure or error
            else:
                if position:
                    self._dsns.remove(dsn)
                    self._dsns.insert(0, dsn)
                return connection
        assert failure is not None  # noqa: S101 - a URL has at least one host
        raise failure

    async def _open(self, dsn: str, seconds: float) -> Connection:
        connection = await asyncpg.connect(
            dsn,
            connection_class=Connection,
            ssl=self._tls,
            timeout=seconds,
            command_timeout=self._command_seconds,
            statement_cache_size=self._statement_cache_size,
            max_cached_statement_lifetime=0,  # as long as the connection is open
            server_settings={"application_name": self._application},
        )
        _probe_when_idle(connection)
        return connection


def _probe_when_idle(connection: Connection) -> None:
    transport = connection._transport  # type: ignore[attr-defined] # noqa: SLF001 - asyncpg has no option for it
    tcp = transport.get_extra_info("socket")
    if tcp is None or tcp.family not in (socket.AF_INET, socket.AF_INET6):
        return
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _TCP_OPTIONS.items():
        option = getattr(socket, name, None)
        if option is not None:
            tcp.setsockopt(socket.IPPROTO_TCP, option, value)
