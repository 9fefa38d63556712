"""The store of signing keys on Better Auth's `jwks` table, without any change to Better Auth.

It reads that table anew for every token and every request for its keys, so each step below shows at
once. One step is one transaction under an advisory lock: killed at any point, it has happened with
its entry in the audit table and its NOTIFY, or not at all. (Seen on Better Auth 1.7.25.)

    publish   INSERT with a `createdAt` before all others: served, and not the newest. The first
              key of an algorithm is inserted as expired: it is served in its grace period, and
              signs under no configuration
    activate  `createdAt` = the newest, `expiresAt` NULL: it signs for those who ask for its
              algorithm, and by default where Better Auth is configured for it
    retire    `expiresAt` = now: served for the grace period longer
    prune     DELETE
    revoke    DELETE, and an entry among the revoked keys, which every replica of ours holds

The audit table, the revoked keys and the list of replicas are made by `service/migrations`.
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
from better_auth_keys.rotation.better_auth.transaction import BetterAuthKeyRing, Connection
from better_auth_keys.rotation.store import KeyStoreError, SigningKey
from better_auth_keys.tokens.signer import Signer

CHANNEL: Final = "signing_keys"
"""What is said on it is nothing but that something has changed."""
REPLICA_SILENT_AFTER: Final = timedelta(seconds=90)
_CONNECT_SECONDS: Final = 10
_LOCK_SECONDS: Final = 10
# Any number will do as long as nothing else in the database locks it.
_LOCK: Final = 4_951_072_330_118_263


@dataclass(frozen=True, slots=True)
class Replica:
    """A process that verifies tokens, by its own account of a moment ago."""

    name: str
    kids: frozenset[str]
    algorithms: frozenset[str]
    listening: bool
    """Whether it hears of changes at once; otherwise it looks every half minute."""
    seen_at: datetime

    def takes(self, key: SigningKey) -> bool:
        """Tell whether it would take a token signed with the key."""
        return key.kid in self.kids and key.algorithm in self.algorithms


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """Where to connect; `dsn` holds a password."""

    dsn: str
    tls: ssl.SSLContext | bool


class BetterAuthSigningKeys:
    """The keys of one Better Auth. `algorithm` is the one that it signs with by default.

    `operator` is who is written down for each step.
    """

    def __init__(
        self, database: DatabaseAddress, *, secrets: IssuerSecrets, algorithm: str, operator: str
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._algorithm = algorithm
        self._operator = operator

    async def keys(self) -> list[SigningKey]:
        """Give the keys of the table, the oldest first."""
        async with _connected(self._database) as connection:
            return await self._ring(connection, "").keys()

    async def replicas(self) -> list[Replica]:
        """Give the processes that verify tokens and have been heard of lately."""
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
        """Tell whether `other` leads to the same database: NOTIFY reaches no further."""
        question = (
            "SELECT current_database(), oid, pg_postmaster_start_time() FROM pg_database"
            " WHERE datname = current_database()"
        )
        async with _connected(self._database) as ours, _connected(other) as theirs:
            return await ours.fetchrow(question) == await theirs.fetchrow(question)

    @asynccontextmanager
    async def changing(
        self, reason: str, *, execute: bool = True
    ) -> AsyncIterator[BetterAuthKeyRing]:
        """Lock the keys for one transaction, which is committed with `execute` only."""
        async with _connected(self._database) as connection:
            transaction = connection.transaction()
            await transaction.start()
            await _lock(connection)
            ring = self._ring(connection, reason)
            yield ring
            if ring.changed:
                await connection.execute(f"NOTIFY {CHANNEL}")
            # Otherwise, and if anything was raised, closing the connection rolls back.
            if execute:
                await transaction.commit()

    async def reencrypt(
        self, old: IssuerSecrets | None, reason: str, *, execute: bool
    ) -> list[str]:
        """Encrypt every private key with the current secret; return the kids that this changed.

        All keys are changed in one transaction, which reads each again before it commits. Without
        `execute` it is rolled back. Raises `UndecryptableKeyError` for a key that neither the
        current secret nor `old` decrypts.
        """
        changed = []
        async with self.changing(reason, execute=execute) as ring:
            for row in await ring.rows():
                current = self._secrets.is_current(row.private_key)
                if current and opens(row, self._secrets, self._algorithm):
                    continue
                await ring.seal_again(row, self._signer(row, old))
                changed.append(row.kid)
        return changed

    def _signer(self, row: Row, old: IssuerSecrets | None) -> Signer:
        for secrets in (self._secrets, old):
            if secrets is not None and opens(row, secrets, self._algorithm):
                return signer_of(row, secrets, self._algorithm)
        raise UndecryptableKeyError(
            f"key {row.kid} opens with neither the present secret nor an old one"
        )

    def _ring(self, connection: Connection, reason: str) -> BetterAuthKeyRing:
        return BetterAuthKeyRing(
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
            # A transaction pooler may stand between.
            statement_cache_size=0,
            server_settings={"application_name": "rotate-keys"},
        )
        try:
            yield connection
        finally:
            await connection.close()


@contextmanager
def _one_line() -> Iterator[None]:
    """Say in one line what is wrong with the database, without SQL and without values."""
    try:
        yield
    except asyncpg.UndefinedTableError as error:
        raise KeyStoreError(_missing_table(str(error))) from None
    except asyncpg.LockNotAvailableError:
        raise KeyStoreError("another operator is at the keys: try again") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        said = str(error).partition("\n")[0]
        raise KeyStoreError(f"the database refused: {said}") from None
    except (OSError, TimeoutError) as error:
        raise KeyStoreError(f"cannot reach the database ({type(error).__name__})") from None


def _missing_table(said: str) -> str:
    if '"jwks"' in said:
        return "there is no table jwks: start the app with Better Auth once, or correct the URL"
    return "tables of the rotation are missing: run migrate --execute"
