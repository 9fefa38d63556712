"""Wait until statements of the service wait for locks."""

import asyncio

import asyncpg

_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND usename = 'app' AND wait_event_type = 'Lock'
"""


async def until_waiting(connection: "asyncpg.Connection[asyncpg.Record]", number: int = 1) -> None:
    """Wait until so many statements of role `app` wait for locks."""
    async with asyncio.timeout(10):
        while await connection.fetchval(_WAITING) < number:
            # In a transaction, it is always the snapshot of its first look.
            await connection.execute("SELECT pg_stat_clear_snapshot()")
