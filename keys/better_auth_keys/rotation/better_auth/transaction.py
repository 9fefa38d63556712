"""`BetterAuthKeyTransaction`: the steps of a rotation on Better Auth's `jwks` table."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, TypeAlias

import asyncpg

from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets, UndecryptableKeyError
from better_auth_keys.rotation.better_auth.table import (
    Event,
    Row,
    algorithm_of,
    read_keys,
    signer_of,
    signing_rows,
    without_name,
)
from better_auth_keys.rotation.store import (
    KeyInUseError,
    KeyState,
    RevokedKey,
    SigningKey,
    UnknownKeyError,
    active_keys,
)
from better_auth_keys.tokens.signer import Signer

# Better Auth uses its own clock, which may be behind that of the database.
_LONG_EXPIRED: Final = timedelta(minutes=5)
_ROWS: Final = (
    'SELECT id, "createdAt", "expiresAt", alg, "publicKey", "privateKey" FROM jwks ORDER BY id'
)
_EVENTS: Final = "SELECT at, verb, kid, algorithm FROM public.signing_key_events ORDER BY id"

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class BetterAuthKeyTransaction:
    """One database transaction on the keys of the table. `changed` is whether a step was taken."""

    def __init__(
        self,
        connection: Connection,
        *,
        secrets: IssuerSecrets,
        algorithm: str,
        operator: str,
        reason: str,
    ) -> None:
        self._connection = connection
        self._secrets = secrets
        self._algorithm = algorithm
        self._operator = operator
        self._reason = reason
        self.changed = False

    async def now(self) -> datetime:
        """Return the database's time, which advances within the transaction."""
        moment = await self._connection.fetchval("SELECT clock_timestamp()")
        assert isinstance(moment, datetime)  # noqa: S101 - its type in PostgreSQL
        return moment

    async def rows(self) -> list[Row]:
        """Return the rows of the table."""
        return [Row(*record.values()) for record in await self._connection.fetch(_ROWS)]

    async def keys(self) -> list[SigningKey]:
        """Return all keys that are not destroyed, oldest first."""
        rows = await self.rows()
        events = [Event(*record.values()) for record in await self._connection.fetch(_EVENTS)]
        revoked = await self._connection.fetch("SELECT kid FROM public.revoked_keys")
        return read_keys(
            rows,
            events,
            {record["kid"] for record in revoked},
            algorithm=self._algorithm,
            secrets=self._secrets,
            now=await self.now(),
        )

    async def revoked_keys(self) -> list[RevokedKey]:
        """Return all revoked keys, the latest first."""
        query = "SELECT kid, revoked_at FROM public.revoked_keys ORDER BY revoked_at DESC, kid"
        return [RevokedKey(*record.values()) for record in await self._connection.fetch(query)]

    async def publish(self, signer: Signer) -> bool:
        """Add a key that is served but does not sign. If no key signs yet, it signs."""
        if await self._is_revoked(signer.kid):
            raise KeyInUseError(f"key {signer.kid} was revoked")
        rows, now = await self.rows(), await self.now()
        if any(row.kid == signer.kid for row in rows):
            return False
        signing = signing_rows(rows, self._algorithm, now)
        created, expires = now, None
        if signing:
            created = min(row.created_at for row in rows) - timedelta(seconds=1)
            if signer.algorithm not in signing:
                # A live row would be the newest of its algorithm, and sign.
                expires = now - _LONG_EXPIRED
        await self._insert(signer, created, expires)
        await self._record("publish", signer.kid, signer.algorithm)
        if not signing:
            await self._record("activate", signer.kid, signer.algorithm)
        return True

    async def activate(self, kid: str) -> bool:
        """Make the key the active one of its algorithm."""
        key = _get(await self.keys(), kid)
        if key.state is KeyState.ACTIVE:
            return False
        if key.state is not KeyState.PRE_ACTIVATION:
            raise KeyInUseError(f"key {kid} is {key.state}: publish another")
        if not key.usable:
            raise KeyInUseError(
                f"key {kid} does not open with the issuer's current secret, so no token could be"
                " signed: run reencrypt"
            )
        await self._connection.execute(
            'UPDATE jwks SET "expiresAt" = NULL, "createdAt" = greatest($2, (SELECT'
            " max(\"createdAt\") FROM jwks) + interval '1 ms') WHERE id = $1",
            kid,
            await self.now(),
        )
        await self._record("activate", kid, key.algorithm)
        return True

    async def retire(self, kid: str) -> bool:
        """Retire a key that no longer signs."""
        key = _get(await self.keys(), kid)
        if key.state is KeyState.ACTIVE:
            raise KeyInUseError(f"key {kid} signs: activate another first")
        if key.retired_at is not None:
            return False
        await self._expire(key, await self.now())
        return True

    async def retire_algorithm(self, algorithm: str) -> list[str]:
        """Retire all keys of an algorithm, and return their kids."""
        keys, now = await self.keys(), await self.now()
        if not active_keys(keys).keys() - {algorithm}:
            raise KeyInUseError(f"no key of another algorithm than {algorithm} signs")
        ending = [key for key in keys if key.algorithm == algorithm and key.retired_at is None]
        for key in ending:
            await self._expire(key, now)
        return [key.kid for key in ending]

    async def prune(self, kid: str) -> bool:
        """Destroy a key."""
        key = next((key for key in await self.keys() if key.kid == kid), None)
        if key is None:
            return False
        if key.state in {KeyState.ACTIVE, KeyState.PRE_ACTIVATION}:
            raise KeyInUseError(f"key {kid} is {key.state}: retire it first")
        await self._connection.execute("DELETE FROM jwks WHERE id = $1", kid)
        await self._record("prune", kid, key.algorithm)
        return True

    async def revoke(self, kid: str) -> bool:
        """Destroy a key, and add its kid to the revoked keys."""
        rows = await self.rows()
        row = next((row for row in rows if row.kid == kid), None)
        signing = signing_rows(rows, self._algorithm, await self.now()).values()
        if any(signs.kid == kid for signs in signing):
            raise KeyInUseError(f"key {kid} signs: activate another first")
        if row is None and await self._is_revoked(kid):
            return False
        await self._connection.execute(
            "INSERT INTO public.revoked_keys (kid) VALUES ($1) ON CONFLICT DO NOTHING", kid
        )
        await self._connection.execute("DELETE FROM jwks WHERE id = $1", kid)
        algorithm = None if row is None else algorithm_of(row, self._algorithm)
        await self._record("revoke", kid, algorithm)
        return True

    async def seal_again(self, row: Row, signer: Signer) -> None:
        """Encrypt a row's private key with the current secret, and check that it opens."""
        sealed = self._secrets.seal(without_name(signer.private_jwk()))
        written = await self._connection.fetchval(
            'UPDATE jwks SET "privateKey" = $2 WHERE id = $1 RETURNING "privateKey"',
            row.kid,
            sealed,
        )
        again = signer_of(
            Row(row.kid, row.created_at, row.expires_at, row.algorithm, private_key=written),
            self._secrets,
            self._algorithm,
        )
        if again.public_jwk() != signer.public_jwk():
            raise UndecryptableKeyError(f"key {row.kid} did not open again after it was encrypted")
        await self._record("reencrypt", row.kid, row.algorithm)

    async def _insert(self, signer: Signer, created: datetime, expires: datetime | None) -> None:
        public = without_name(signer.public_jwk())
        await self._connection.execute(
            'INSERT INTO jwks (id, "publicKey", "privateKey", "createdAt", "expiresAt", alg, crv)'
            " VALUES ($1, $2, $3, $4, $5, $6, $7)",
            signer.kid,
            json.dumps(public, separators=(",", ":")),
            self._secrets.seal(without_name(signer.private_jwk())),
            created,
            expires,
            signer.algorithm,
            public.get("crv"),
        )

    async def _expire(self, key: SigningKey, now: datetime) -> None:
        await self._connection.execute(
            'UPDATE jwks SET "expiresAt" = $2 WHERE id = $1', key.kid, now
        )
        await self._record("retire", key.kid, key.algorithm)

    async def _is_revoked(self, kid: str) -> bool:
        query = "SELECT EXISTS (SELECT FROM public.revoked_keys WHERE kid = $1)"
        return bool(await self._connection.fetchval(query, kid))

    async def _record(self, verb: str, kid: str, algorithm: str | None) -> None:
        self.changed = True
        await self._connection.execute(
            "INSERT INTO public.signing_key_events (operator, verb, kid, algorithm, reason)"
            " VALUES ($1, $2, $3, $4, $5)",
            self._operator,
            verb,
            kid,
            algorithm,
            self._reason,
        )


def _get(keys: Sequence[SigningKey], kid: str) -> SigningKey:
    for key in keys:
        if key.kid == kid:
            return key
    raise UnknownKeyError(kid)
