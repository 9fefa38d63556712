"""The way to PostgreSQL: the engine, the check of its role, and statements run as an owner.

Row-level security is the second wall. Its policies compare `owner_id` with the setting
`app.user_id`, which every unit of work sets for itself and for nothing after it:

- `run` executes one statement in one round trip. The statement brings the identity along: it is
  set in a fenced sub-select (`IDENTITY`), and the query proper runs LATERAL to it (`as_owner`).
- `transaction` opens with `BEGIN; SELECT set_config(...)` sent as one simple query. That protocol
  takes no parameters, so the identity travels hex-encoded and is decoded by the server: nothing
  that a user chose becomes SQL.

The engine runs in autocommit: otherwise SQLAlchemy would open a transaction around each statement
and pay three more round trips for it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, Protocol

import asyncpg
from sqlalchemy import (
    Executable,
    Row,
    Select,
    Subquery,
    Text,
    bindparam,
    event,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import QueuePool

from service.database.connection import first_line
from service.database.role_check import ROLE_QUERY, explain_role
from service.database.url import DatabaseUrl
from service.security.owner import Owner

IDENTITY_PARAMETER: Final = "identity"

AnyRow = Row[*tuple[Any, ...]]

REQUEST_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 10.0
LOCK_SECONDS: Final = 2.0
POOL_WAIT_SECONDS: Final = 1.0

_NOTHING_PREPARED: Final = {
    "statement_cache_size": 0,
    "prepared_statement_cache_size": 0,
    # Unnamed: a name would be taken already where another client of the pooler was before us.
    "prepared_statement_name_func": lambda: "",
}

# Connection trouble, resources exhausted, operator intervention, system error, read-only server,
# serialization failure, deadlock, lock not available: all of them pass.
_PASSING_SQLSTATES: Final = ("08", "53", "57", "58", "25006", "40001", "40P01", "55P03")
_LOCK_NOT_AVAILABLE: Final = "55P03"
# Wrong password, unknown role, unknown database: somebody has to correct something.
_REFUSING_SQLSTATES: Final = ("28", "3D")


class DatabaseUnavailableError(Exception):
    """The database cannot serve just now. `retry_after` is in seconds."""

    code = "database_unavailable"

    def __init__(self, detail: str, *, retry_after: float = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class LockTimeoutError(DatabaseUnavailableError):
    """Somebody else holds a row for longer than we wait."""

    code = "database_locked"


class DatabaseRefusedError(DatabaseUnavailableError):
    """The database answers, but not to us, or without row-level security: nothing is served."""

    code = "database_refused"


def _identity() -> Subquery:
    set_identity = func.set_config(
        "app.user_id", bindparam(IDENTITY_PARAMETER, type_=Text), true(), type_=Text
    )
    # OFFSET 0 keeps the planner from pulling the sub-select up and the call around.
    return select(set_identity.label("id")).offset(literal_column("0")).subquery("identity")


IDENTITY: Final = _identity()
"""The identity, set for the transaction by being read: `IDENTITY.c.id` is the owner's id."""


def as_owner(query: Select[Any]) -> Select[Any]:
    """Wrap a query on rows of `IDENTITY.c.id` into the shape that `Database.run` executes.

    The query must have a LIMIT: together with LATERAL it fences the planner in. Its ORDER BY is
    kept, for the outer query reads one row (the identity) and then the inner one's rows in turn.
    """
    rows = query.lateral("rows")
    return select(*rows.c).select_from(IDENTITY.join(rows, true()))


class OwnerTransaction(Protocol):
    """A transaction under an owner's identity."""

    async def execute(
        self, statement: Executable, parameters: Mapping[str, object]
    ) -> Sequence[AnyRow]:
        """Execute one statement; `IDENTITY_PARAMETER` is bound to the owner."""
        ...


class Database:
    """A pool of connections to one database, under one role that row-level security binds.

    `budget` bounds each call in seconds, from when it has a connection; opening one may take
    `connect_seconds` more, for a database that sleeps (Neon) takes seconds to wake. Without
    `prepared_statements` it works through a transaction pooler that knows none (PgBouncer before
    1.21), a trip slower.
    """

    def __init__(  # noqa: PLR0913 - all but the first by name
        self,
        url: DatabaseUrl,
        *,
        pool_size: int = 10,
        budget: float = REQUEST_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        prepared_statements: bool = True,
        waited: Callable[[float], object] = lambda _seconds: None,
    ) -> None:
        self._budget = budget
        self._connect_seconds = connect_seconds
        # First come, first served: from the pool itself, whoever asks next takes a connection that
        # has just come back, before those who wait for it, and some of them wait until they fail.
        self._turns = asyncio.Semaphore(pool_size)
        self._waited = waited
        self._engine = create_async_engine(
            url.url,
            isolation_level="AUTOCOMMIT",
            # Nothing to reset: no statement leaves anything behind on its connection.
            pool_reset_on_return=None,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            # The connection used last is the warmest, and idle ones get to be dropped.
            pool_use_lifo=True,
            hide_parameters=True,
            connect_args={
                **url.connect_args(),
                "timeout": connect_seconds,
                "command_timeout": budget,
                **({} if prepared_statements else _NOTHING_PREPARED),
                "server_settings": {"application_name": "better-auth-resource-server"},
            },
        )
        event.listen(self._engine.sync_engine, "connect", _refuse_unsafe_role)
        event.listen(self._engine.sync_engine, "checkout", _refuse_closed_connection)

    async def check(self) -> None:
        """Look at the role again, as every new connection does.

        If it must not be used any more, no connection made before is either. Raises
        `DatabaseRefusedError` or `DatabaseUnavailableError`.
        """
        async with self._connection() as connection:
            row = (await connection.exec_driver_sql(ROLE_QUERY)).mappings().one()
            refusal = explain_role({**row})
        if refusal is not None:
            await self._engine.dispose()
            raise DatabaseRefusedError(refusal)

    @property
    def connections_in_use(self) -> int:
        """How many connections are not in the pool just now."""
        pool = self._engine.pool
        assert isinstance(pool, QueuePool)  # noqa: S101 - the engine's own choice
        return pool.checkedout()

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def run(
        self, owner: Owner, statement: Executable, parameters: Mapping[str, object]
    ) -> Sequence[AnyRow]:
        """Execute one statement that reads `IDENTITY`, in one round trip.

        Raises `DatabaseUnavailableError`.
        """
        async with self._connection() as connection:
            result = await connection.execute(
                statement, {**parameters, IDENTITY_PARAMETER: owner.id}
            )
            return result.fetchall()

    async def execute(
        self, statement: Executable, parameters: Mapping[str, object]
    ) -> Sequence[AnyRow]:
        """Execute one statement as nobody: row-level security hides every user's rows from it.

        Raises `DatabaseUnavailableError`.
        """
        async with self._connection() as connection:
            result = await connection.execute(statement, parameters)
            return result.fetchall() if result.returns_rows else ()

    @asynccontextmanager
    async def transaction(self, owner: Owner) -> AsyncIterator[OwnerTransaction]:
        """Open a transaction as `owner`: two round trips besides its statements.

        It commits at the end of the block and is rolled back if the block raises.

        Raises `DatabaseUnavailableError`.
        """
        identity = owner.id.encode().hex()
        async with self._connection() as connection:
            driver = await _driver_of(connection)
            try:
                await driver.execute(
                    "BEGIN; SELECT set_config('app.user_id', "
                    f"convert_from(decode('{identity}', 'hex'), 'UTF8'), true), "
                    f"set_config('lock_timeout', '{LOCK_SECONDS * 1000:.0f}', true)"
                )
                yield _Transaction(connection, owner)
                await driver.execute("COMMIT")
            except Exception:
                await driver.execute("ROLLBACK")
                raise
            except BaseException:
                # Cut off, perhaps in the middle of a statement: no attempt to save it. The
                # connection goes, and the transaction and the identity with it.
                await connection.invalidate()
                raise

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        asked = time.perf_counter()
        with _passing_trouble():
            async with asyncio.timeout(POOL_WAIT_SECONDS):
                await self._turns.acquire()
            try:
                deadline = asyncio.timeout(self._connect_seconds)
                async with deadline, self._engine.connect() as connection:
                    self._waited(time.perf_counter() - asked)
                    deadline.reschedule(asyncio.get_running_loop().time() + self._budget)
                    yield connection
            finally:
                self._turns.release()


class _Transaction:
    def __init__(self, connection: AsyncConnection, owner: Owner) -> None:
        self._connection = connection
        self._owner = owner

    async def execute(
        self, statement: Executable, parameters: Mapping[str, object]
    ) -> Sequence[AnyRow]:
        result = await self._connection.execute(
            statement, {**parameters, IDENTITY_PARAMETER: self._owner.id}
        )
        return result.fetchall() if result.returns_rows else ()


async def _driver_of(connection: AsyncConnection) -> "asyncpg.Connection[asyncpg.Record]":
    raw = await connection.get_raw_connection()
    driver = raw.driver_connection
    assert isinstance(driver, asyncpg.Connection)  # noqa: S101 - the engine has no other driver
    return driver


def _refuse_unsafe_role(dbapi_connection: Any, _record: object) -> None:
    """Look at the role of every new connection, before anything else runs on it."""
    row = dbapi_connection.run_async(lambda driver: driver.fetchrow(ROLE_QUERY))
    refusal = explain_role(row)
    if refusal is not None:
        raise DatabaseRefusedError(refusal)


def _refuse_closed_connection(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    """Have the pool replace a connection that the server has closed: no trip, no failed request."""
    if dbapi_connection.driver_connection.is_closed():
        raise DisconnectionError


@contextmanager
def _passing_trouble() -> Iterator[None]:
    """Turn what passes by itself into `DatabaseUnavailableError`; the rest is a bug and stays."""
    try:
        yield
    except (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        driver_error = getattr(error, "orig", error)
        state = getattr(driver_error, "sqlstate", None) or ""
        lost = isinstance(error, asyncpg.InterfaceError) or (
            isinstance(error, DBAPIError) and error.connection_invalidated
        )
        if state.startswith(_REFUSING_SQLSTATES):
            raise DatabaseRefusedError(f"DATABASE_URL: {first_line(driver_error)}") from error
        if state == _LOCK_NOT_AVAILABLE:
            raise LockTimeoutError("locked") from error
        if lost or state.startswith(_PASSING_SQLSTATES):
            raise DatabaseUnavailableError(f"{type(driver_error).__name__} {state}") from error
        raise
    except (PoolTimeoutError, TimeoutError, OSError) as error:
        # asyncpg lets a refused connection and its own timeouts through as they are.
        raise DatabaseUnavailableError(type(error).__name__) from error
