"""`Database`: connect to PostgreSQL, check the role, and execute statements as an owner.

asyncpg executes statements (`statements.py`) on a pool of connections (`pool.py`). `repeating.py`
says when a statement that failed with its connection is executed again.

Row-level security is the second wall. Its policies compare `owner_id` with the setting
`app.user_id`. Every statement sets it for itself only, in the form that `identity.py` builds or by
calling a function that begins with it. Work of several statements is a function in the database,
so that it takes one round trip as well. Rare work can be a transaction (`run_together`), which sets
the identity for itself only.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Final, TypeVar

import asyncpg

from service.database.identity import IDENTITY_PARAMETER
from service.database.pool import Pool
from service.database.repeating import is_read_only, lost_conflict, may_repeat, was_not_sent
from service.database.role_check import ROLE_QUERY, RoleRefusedError, explain_role
from service.database.statements import Statement, Step
from service.database.turns import Turns
from service.database.url import DatabaseUrl
from service.security.owner import Owner

AnyRow = asyncpg.Record
Rows = TypeVar("Rows")
DriverError: Final = asyncpg.PostgresError
"""A statement failed for a reason that does not pass by itself: a bug or a missing privilege."""

REQUEST_SECONDS: Final = 5.0
LOCK_SECONDS: Final = 2.0
_CONFLICT_PAUSE_SECONDS: Final = 0.05
"""Without a pause, the repeated transaction can meet the other one again, and be rolled back."""
POOL_WAIT_SECONDS: Final = 1.0
MAX_AGE_SECONDS: Final = 1800.0
_EXPENSIVE_PART: Final = 4
"""Expensive statements use at most one connection in so many (but at least one)."""
_BECOME: Final = Statement(
    f"SELECT set_config('app.user_id', :{IDENTITY_PARAMETER}, true),"
    f" set_config('lock_timeout', '{LOCK_SECONDS:.0f}s', true)"
)
"""The first statement of a transaction: set the identity, and the time to wait for locks."""

# Temporary: connection exceptions, insufficient resources, operator intervention, system errors,
# read-only server, serialization failure, deadlock, lock not available.
_PASSING_SQLSTATES: Final = ("08", "53", "57", "58", "25006", "40001", "40P01", "55P03")
_LOCK_NOT_AVAILABLE: Final = "55P03"
# Wrong password, unknown role, unknown database: an operator must correct the configuration.
_REFUSING_SQLSTATES: Final = ("28", "3D")


class DatabaseUnavailableError(Exception):
    """The database is temporarily unavailable. `retry_after` is in seconds."""

    code = "database_unavailable"

    def __init__(self, detail: str, *, retry_after: float = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class LockTimeoutError(DatabaseUnavailableError):
    """Another transaction locks a row for longer than the lock timeout."""

    code = "database_locked"


class DatabaseRefusedError(DatabaseUnavailableError):
    """The database refuses the role, or row-level security does not bind it. It is not used."""

    code = "database_refused"


class Database:
    """A pool of connections to one database, with one role that row-level security binds.

    `budget` bounds each call in seconds, with all that it waits for. A connection is replaced after
    `max_age` seconds, because servers, and the addresses of names, change. Without
    `prepared_statements`, each statement takes one more round trip, but transaction poolers that do
    not support prepared statements (PgBouncer before 1.21) work. `pool` creates the pool.
    """

    def __init__(  # noqa: PLR0913 - all but the first are passed by name
        self,
        url: DatabaseUrl,
        *,
        pool_size: int = 10,
        budget: float = REQUEST_SECONDS,
        max_age: float = MAX_AGE_SECONDS,
        prepared_statements: bool = True,
        waited: Callable[[float], object] = lambda _seconds: None,
        pool: Callable[..., Pool] = Pool,
    ) -> None:
        self._budget = budget
        self._must_write = url.session != "any"
        self._connections = pool(
            url,
            size=pool_size,
            budget=budget,
            wait_seconds=POOL_WAIT_SECONDS,
            max_age_seconds=max_age,
            prepared_statements=prepared_statements,
            waited=waited,
        )
        self._turns = Turns(
            size=max(1, pool_size // _EXPENSIVE_PART), wait_seconds=POOL_WAIT_SECONDS
        )
        self._checking: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Check the role like `check_role`, and open the pool's connections.

        The first time, wait until all are open. Calls at the same time share one check, because it
        goes before all requests: anybody who can ask for many could keep the others from the
        database. Raises what `check_role` raises.
        """
        if self._checking is None:
            self._checking = asyncio.create_task(self._check())
            self._checking.add_done_callback(self._checked)
        # Shielded, because a caller that leaves must not end the check of the others.
        await asyncio.shield(self._checking)

    def _checked(self, task: "asyncio.Task[None]") -> None:
        self._checking = None
        if not task.cancelled():
            task.exception()  # every caller may have left

    async def _check(self) -> None:
        with _PASSING_TROUBLE:
            async with asyncio.timeout(self._budget):
                await self.check_role()
                await self._connections.fill()

    async def check_role(self) -> None:
        """Check the role again, before all waiting statements.

        If the role must not be used any more, all existing connections are closed. Raises
        `DatabaseRefusedError` or `DatabaseUnavailableError`.
        """
        with _PASSING_TROUBLE:
            async with asyncio.timeout(self._budget):
                row = await self._role()
                if row["read_only"] and self._must_write:
                    # The old primary after a failover.
                    if not await self._connections.move():
                        raise DatabaseUnavailableError("no host accepts writes")
                    row = await self._role()
                refusal = explain_role(dict(row))
                if refusal is not None:
                    await self._connections.close()
                    raise DatabaseRefusedError(refusal)

    async def open_in_turn(self) -> None:
        """Open the missing connections of the pool one after another, until one cannot be opened.

        Requests are served meanwhile, and hardly wait.
        """
        await self._connections.open_in_turn()

    async def _role(self) -> AnyRow:
        fetch = partial(self._connections.fetch, ROLE_QUERY, [], first=True)
        (row,) = await self._fetch(fetch, reads_only=True)
        return row

    @property
    def connections_in_use(self) -> int:
        """The number of connections in use."""
        return self._connections.in_use

    async def close(self) -> None:
        """Close every connection."""
        await self._connections.close()

    async def run(
        self, owner: Owner, statement: Statement, parameters: Mapping[str, object]
    ) -> Sequence[AnyRow]:
        """Execute one statement that sets the identity itself, in one round trip.

        Raises `DatabaseUnavailableError`.
        """
        arguments = statement.arguments({**parameters, IDENTITY_PARAMETER: owner.id})
        fetch = partial(self._connections.fetch, statement.sql, arguments)
        return await self._fetch(fetch, reads_only=statement.reads_only)

    async def run_in_turn(
        self, owner: Owner, statement: Statement, parameters: Mapping[str, object]
    ) -> Sequence[AnyRow]:
        """Execute one statement like `run`, but an expensive one: never two of an owner at a time.

        Raises `OwnerBusyError` (see `turns.py`) or `DatabaseUnavailableError`.
        """
        with _PASSING_TROUBLE:
            async with asyncio.timeout(self._budget), self._turns.turn(owner.id):
                return await self.run(owner, statement, parameters)

    async def run_together(self, owner: Owner, steps: Sequence[Step]) -> list[Sequence[AnyRow]]:
        """Execute statements as an owner, all or none of them. Return the rows of each.

        This is one transaction of several round trips. Each statement sees what was committed
        before it began, so a lock that one takes holds for those that follow.

        Raises `DatabaseUnavailableError`.
        """
        identity = {IDENTITY_PARAMETER: owner.id}
        statements = [
            (statement.sql, statement.arguments({**parameters, **identity}))
            for statement, parameters in ((_BECOME, {}), *steps)
        ]
        fetch = partial(self._connections.fetch_together, statements)
        _, *rows = await self._fetch(fetch, reads_only=False)
        return rows

    async def execute(
        self, statement: Statement, parameters: Mapping[str, object]
    ) -> Sequence[AnyRow]:
        """Execute one statement without an identity. Row-level security hides all users' rows.

        Raises `DatabaseUnavailableError`.
        """
        fetch = partial(self._connections.fetch, statement.sql, statement.arguments(parameters))
        return await self._fetch(fetch, reads_only=statement.reads_only)

    async def fetch(self, sql: str, *arguments: object) -> Sequence[AnyRow]:
        """Execute SQL with parameters `$1`, `$2`, like `execute`."""
        fetch = partial(self._connections.fetch, sql, arguments)
        return await self._fetch(fetch, reads_only=False)

    async def _fetch(self, fetch: Callable[..., Awaitable[Rows]], *, reads_only: bool) -> Rows:
        with _PASSING_TROUBLE:
            asked = time.perf_counter()
            try:
                return await fetch(seconds=self._budget)
            except Exception as error:
                if not may_repeat(error, reads_only=reads_only):
                    raise
                failure = error
            left = self._budget - (time.perf_counter() - asked)
            async with asyncio.timeout(left):
                if is_read_only(failure) and not await self._connections.move():
                    raise failure
                if lost_conflict(failure):
                    await asyncio.sleep(_CONFLICT_PAUSE_SECONDS)
                return await fetch(seconds=left)


class _PassingTrouble:
    """Turns temporary errors into `DatabaseUnavailableError`. Other errors are bugs and stay."""

    def __enter__(self) -> None:
        """Do nothing: the work is in `__exit__`."""

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Raise `DatabaseUnavailableError` for a temporary error."""
        if isinstance(error, asyncpg.PostgresError):
            state = error.sqlstate or ""
            if state.startswith(_REFUSING_SQLSTATES):
                said = str(error).partition("\n")[0]
                raise DatabaseRefusedError(f"DATABASE_URL: {said}") from error
            if state == _LOCK_NOT_AVAILABLE:
                raise LockTimeoutError("locked") from error
            if state.startswith(_PASSING_SQLSTATES):
                raise DatabaseUnavailableError(f"{type(error).__name__} {state}") from error
        elif isinstance(error, RoleRefusedError):
            raise DatabaseRefusedError(str(error)) from error
        elif error is not None and (
            isinstance(error, asyncpg.InterfaceError | OSError) or was_not_sent(error)
        ):
            # A lost or refused connection, or a timeout.
            raise DatabaseUnavailableError(type(error).__name__) from error


_PASSING_TROUBLE: Final = _PassingTrouble()
