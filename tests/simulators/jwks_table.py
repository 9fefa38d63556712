"""Better Auth's `jwks` table, and an issuer that uses it as Better Auth 1.7.25 does."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from better_auth_keys import Signer
from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from better_auth_keys.rotation.better_auth.store import DatabaseAddress
from service.database.url import parse_database_url

SECRET = "a-secret-of-the-issuer-0123456789"
# As `getMigrations` of Better Auth creates it.
TABLE = """
    CREATE TABLE jwks (
        id text NOT NULL PRIMARY KEY,
        "publicKey" text NOT NULL,
        "privateKey" text NOT NULL,
        "createdAt" timestamptz NOT NULL,
        "expiresAt" timestamptz,
        alg text,
        crv text
    )
"""


def reach(url: str) -> DatabaseAddress:
    """Return the address of a database in the form that the library takes."""
    parsed = parse_database_url(url)
    return DatabaseAddress(parsed.dsn, parsed.ssl_argument())


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(parse_database_url(url).dsn)
    try:
        yield connection
    finally:
        await connection.close()


@dataclass
class Issuer:
    """Does with the table at `url` (role `auth`) what Better Auth does."""

    url: str
    algorithm: str = "EdDSA"
    secrets: IssuerSecrets = IssuerSecrets(SECRET)  # noqa: RUF009 - immutable
    grace_period: timedelta = timedelta(days=30)

    async def make_table(self) -> None:
        async with connected(self.url) as connection:
            await connection.execute(TABLE)

    async def rows(self) -> list[Mapping[str, Any]]:
        """Return the rows that Better Auth reads: a hundred, in no order."""
        async with connected(self.url) as connection:
            return [{**row} for row in await connection.fetch("SELECT * FROM jwks LIMIT 100")]

    async def mint_key(self, *, age: timedelta = timedelta(0), kid: str | None = None) -> str:
        """Create a key as Better Auth does when it has none, with an age."""
        (kid,) = await self._insert([(Signer.generate(self.algorithm, kid=kid), age)])
        return kid

    async def mint_keys(self, ages: Iterable[timedelta]) -> list[str]:
        """Create a key of each age."""
        return await self._insert([(Signer.generate(self.algorithm), age) for age in ages])

    async def _insert(self, keys: Sequence[tuple[Signer, timedelta]]) -> list[str]:
        async with connected(self.url) as connection:
            await connection.executemany(
                "INSERT INTO jwks VALUES ($1, $2, $3, $4, NULL, $5, $6)",
                [self._row(signer, age) for signer, age in keys],
            )
        return [signer.kid for signer, _ in keys]

    def _row(self, signer: Signer, age: timedelta) -> tuple[object, ...]:
        private, public = signer.private_jwk(), signer.public_jwk()
        for jwk in (private, public):
            del jwk["kid"], jwk["alg"]
        return (
            signer.kid,
            json.dumps(public),
            self.secrets.seal(private),
            datetime.now(UTC) - age,
            signer.algorithm,
            public.get("crv"),
        )

    async def signs_with(self, algorithm: str | None = None) -> str | None:
        """Return the kid of the next token; None if Better Auth would create a key.

        `algorithm` is a pin, such as a resource's `signingAlgorithm`.
        """
        live = await self._live()
        wanted: set[str | None] = {algorithm or self.algorithm}
        if self.algorithm in wanted:
            wanted.add(None)
        fitting = [row for row in live if row["alg"] in wanted]
        candidates = fitting or (live if algorithm is None else [])
        row = max(candidates, key=lambda row: row["createdAt"], default=None)
        if row is None:
            return None
        self.secrets.open(row["privateKey"])
        return str(row["id"])

    async def can_sign(self, kid: str) -> bool:
        """Return whether Better Auth signs with a pin to the key (`signingKeyId`)."""
        return kid in {row["id"] for row in await self._live()}

    async def _live(self) -> list[Mapping[str, Any]]:
        now = datetime.now(UTC)
        return [row for row in await self.rows() if not row["expiresAt"] or row["expiresAt"] > now]

    async def sign(self, claims: Mapping[str, object], algorithm: str | None = None) -> str:
        """Sign a token as the next `/token` would, or as with a pin to an algorithm."""
        kid = await self.signs_with(algorithm)
        row = next(row for row in await self.rows() if row["id"] == kid)
        jwk = {**self.secrets.open(row["privateKey"]), "kid": kid, "alg": row["alg"]}
        return Signer.from_jwk(jwk).mint(claims)

    async def jwks(self) -> list[dict[str, Any]]:
        """Return the keys that `/jwks` serves."""
        now = datetime.now(UTC)
        return [
            {"alg": row["alg"], **json.loads(row["publicKey"]), "kid": row["id"]}
            for row in await self.rows()
            if not row["expiresAt"] or row["expiresAt"] + self.grace_period > now
        ]

    async def serves(self) -> set[str]:
        return {jwk["kid"] for jwk in await self.jwks()}
