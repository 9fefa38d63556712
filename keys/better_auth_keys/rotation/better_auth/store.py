"""The store of signing keys in Better Auth's `jwks` table, without changes to Better Auth.

Better Auth reads the table again for every token and every request for its keys, so each step takes
effect at once. A step is one transaction under an advisory lock: if it is killed, either the step,
its audit log entry and its NOTIFY have all happened, or none of them. (Seen in Better Auth 1.7.25.)

    publish   INSERT with a `createdAt` before all others: served, but not the newest. The first
              key of an algorithm is inserted as expired: it is served for the grace period, and
              cannot sign in any configuration
    activate  `createdAt` = the newest, `expiresAt` NULL: it signs when its algorithm is requested,
              and by default if Better Auth is configured for its algorithm
    retire    `expiresAt` = now: served until the grace period ends
    prune     DELETE
    revoke    DELETE, and a row among the revoked keys, which every replica of the service loads

The audit log, the revoked keys and the list of replicas are tables of `service/migrations`.
"""

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets, UndecryptableKeyError
from better_auth_keys.rotation.better_auth.table import Row, opens, signer_of
from better_auth_keys.rotation.better_auth.transaction import BetterAuthKeyTransaction, Connection
from better_auth_keys.rotation.store import KeyStoreError, SigningKey
from better_auth_keys.tokens.signer import Signer

CHANNEL: Final = "signing_keys"
"""The channel of the notifications. They carry no payload: they only mean that keys changed."""
REPLICA_SILENT_AFTER: Final = timedelta(seconds=90)
_CONNECT_SECONDS: Final = 10
_LOCK_SECONDS: Final = 10
# Any number that nothing else in the database uses as a lock.
_LOCK: Final = 4_951_072_330_118_263


@dataclass(frozen=True, slots=True)
class Replica:
    """A running process of the service, as it last reported itself."""

    name: str
    kids: frozenset[str]
    algorithms: frozenset[str]
    listening: bool
    """Whether it is notified of changes; otherwise it checks every half minute."""
    seen_at: datetime

    def takes(self, key: SigningKey) -> bool:
        """Return whether it accepts tokens signed with the key."""
        return key.kid in self.kids and key.algorithm in self.algorithms


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """How to connect to a database. `dsn` contains a password."""

    dsn: str
    tls: ssl.SSLContext | bool


class BetterAuthSigningKeys:
    """The signing keys of one Better Auth, which signs with `algorithm` by default.

    `operator` goes into the audit log with each step.
    """

    def __init__(
        self, database: DatabaseAddress, *, secrets: IssuerSecrets, algorithm: str, operator: str
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._algorithm = algorithm
        self._operator = operator

    async def keys(self) -> list[SigningKey]:
        """Return the keys of the table, oldest first. Raises `KeyStoreError`."""
        async with _connected(self._database) as connection:
            return await self._transaction(connection, "").keys()

    async def replicas(self) -> list[Replica]:
        """Return the replicas that have reported within `REPLICA_SILENT_AFTER`."""
        async with _connected(self._database) as connection:
            rows = await connection.fetch(
                "SELECT * FROM public.service_replicas WHERE seen_at > now() - $1::interval"
                " ORDER BY name",
                REPLICA_SILENT_AFTER,
            )
        return [
            Replica(
                row["name"],
                frozenset(row["kids"]),
                frozenset(row["algorithms"]),
                row["listening"],
                row["seen_at"],
            )
            for row in rows
        ]

    async def shares_database_with(self, other: DatabaseAddress) -> bool:
        """Return whether `other` is the same database: a NOTIFY does not leave its database."""
        query = (
            "SELECT current_database(), oid, pg_postmaster_start_time() FROM pg_database"
            " WHERE datname = current_database()"
        )
        async with _connected(self._database) as ours, _connected(other) as theirs:
            return await ours.fetchrow(query) == await theirs.fetchrow(query)

    @asynccontextmanager
    async def changing(
        self, reason: str, *, execute: bool = True
    ) -> AsyncIterator[BetterAuthKeyTransaction]:
        """Begin a transaction under the lock; `reason` goes into the audit log."""
        async with _connected(self._database) as connection:
            database_transaction = connection.transaction()
            await database_transaction.start()
            await _lock(connection)
            transaction = self._transaction(connection, reason)
            yield transaction
            if transaction.changed:
                await connection.execute(f"NOTIFY {CHANNEL}")
            # In a preview, or after an error, closing the connection rolls the transaction back.
            if execute:
                await database_transaction.commit()

    async def reencrypt(
        self, old: IssuerSecrets | None, reason: str, *, execute: bool
    ) -> list[str]:
        """Encrypt all private keys with the current secret; return the kids of those that changed.

        It is one transaction, in which each key is read again; without `execute` it is rolled back.
        Raises `UndecryptableKeyError` for a key that neither the current secret nor `old` opens.
        """
        changed = []
        async with self.changing(reason, execute=execute) as transaction:
            for row in await transaction.rows():
                current = self._secrets.is_current(row.private_key)
                if current and opens(row, self._secrets, self._algorithm):
                    continue
                await transaction.seal_again(row, self._signer(row, old))
                changed.append(row.kid)
        return changed

    def _signer(self, row: Row, old: IssuerSecrets | None) -> Signer:
        for secrets in (self._secrets, old):
            if secrets is not None and opens(row, secrets, self._algorithm):
                return signer_of(row, secrets, self._algorithm)
        raise UndecryptableKeyError(
            f"key {row.kid} opens with neither the current secret nor the old one"
        )

    def _transaction(self, connection: Connection, reason: str) -> BetterAuthKeyTransaction:
        return BetterAuthKeyTransaction(
            connection,
            secrets=self._secrets,
            algorithm=self._algorithm,
            operator=self._operator,
            reason=reason,
        )


async def _lock(connection: Connection) -> None:
    await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)


@asynccontextmanager
async def _connected(database: DatabaseAddress) -> AsyncIterator[Connection]:
    with _one_line():
        connection = await asyncpg.connect(
            database.dsn,
            ssl=database.tls,
            timeout=_CONNECT_SECONDS,
            command_timeout=_CONNECT_SECONDS + _LOCK_SECONDS,
            # There may be a transaction pooler in between.
            statement_cache_size=0,
            server_settings={"application_name": "rotate-keys"},
        )
        try:
            yield connection
        finally:
            await connection.close()


@contextmanager
def _one_line() -> Iterator[None]:
    """Raise database errors as `KeyStoreError`, in one line without SQL and values."""
    try:
        yield
    except asyncpg.UndefinedTableError as error:
        raise KeyStoreError(_missing_table(str(error))) from None
    except asyncpg.UndefinedColumnError as error:
        raise KeyStoreError(_missing_column(str(error))) from None
    except asyncpg.LockNotAvailableError:
        raise KeyStoreError("another operator is changing the keys: try again") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        said = str(error).partition("\n")[0]
        raise KeyStoreError(f"the database refused: {said}") from None
    except (OSError, TimeoutError) as error:
        raise KeyStoreError(f"cannot reach the database ({type(error).__name__})") from None


def _missing_table(said: str) -> str:
    if '"jwks"' in said:
        return "there is no table jwks: start the app with Better Auth once, or correct the URL"
    return "tables of the rotation are missing: run migrate --execute"


def _missing_column(said: str) -> str:
    if '"alg"' in said:  # Better Auth 1.6 does not store the algorithm of a key
        return (
            "the table jwks has no column alg: to rotate keys, update Better Auth to 1.7 or newer"
            " and migrate its tables"
        )
    return f"the database refused: {said.partition(chr(10))[0]}"
