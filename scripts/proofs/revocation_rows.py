"""The revocations that `revocations` measures on: many, a burst of more, and some that expire."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

BURST: Final = 5_000
_FILL: Final = text(
    "INSERT INTO public.token_revocations (at, kind, value, operator, reason)"
    " SELECT now() - n * interval '20 hours' / :number, :kind, md5(n::text), 'proof', 'proof'"
    " FROM generate_series(1, CAST(:number AS int)) AS n"
)
_BURST_OF: Final = text(
    f"""
    DO $$ BEGIN
    FOR turn IN 1..{BURST // 10} LOOP
        PERFORM pg_notify('token_revocations', turn::text || '-' || n)
        FROM generate_series(1, 10) AS n;
        INSERT INTO public.token_revocations (kind, value, operator, reason)
        SELECT 'session', gen_random_uuid()::text, 'proof', 'proof'
        FROM generate_series(1, 10) AS n;
        COMMIT;
    END LOOP; END $$
    """  # noqa: S608 - built from the constant above
)
_EXPIRE: Final = text(
    "UPDATE public.token_revocations SET at = now() - interval '1 year' WHERE id % 2 = 0"
)


@asynccontextmanager
async def superuser(url: str) -> AsyncIterator[AsyncConnection]:
    """Connect as a role that may change any row."""
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
    )
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


async def fill(admin: AsyncConnection, number: int, kind: str) -> None:
    """Replace all revocations with so many of one kind."""
    await admin.execute(text("TRUNCATE public.token_revocations"))
    await admin.execute(_FILL, {"number": number, "kind": kind})
    await admin.execute(text("VACUUM ANALYZE public.token_revocations"))


async def revoke_more(admin: AsyncConnection) -> None:
    """Add `BURST` revocations, each with a notification, ten in a transaction."""
    await admin.execute(_BURST_OF)


async def expire_half(admin: AsyncConnection) -> None:
    """Let every second revocation expire."""
    await admin.execute(_EXPIRE)
