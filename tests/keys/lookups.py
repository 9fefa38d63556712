"""Look up keys while a test moves the clock."""

import asyncio

from better_auth_keys import RefreshPolicy, RemoteKeySet
from better_auth_keys.testing import HttpIssuer, Reply
from better_auth_keys.tokens.jwk import VerificationKey
from tests.simulators.clock import ManualClock, advancing

POLICY = RefreshPolicy()


async def found(task: asyncio.Task[VerificationKey | None], clock: ManualClock) -> object:
    """Return the result of a lookup while the clock advances."""
    await advancing(clock, task.done)
    return await task


def look_up(key_set: RemoteKeySet, kid: str) -> asyncio.Task[VerificationKey | None]:
    return asyncio.create_task(key_set.find(kid))


def fail(server: HttpIssuer) -> None:
    server.reply = Reply(status=500)
