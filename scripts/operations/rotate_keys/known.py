"""Who knows a key that is to sign: the issuer that serves it, and every replica of the service."""

import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from better_auth_keys.rotation.better_auth.store import Replica
from better_auth_keys.rotation.plan import RotationRefusedError
from better_auth_keys.rotation.store import SigningKey
from scripts.operations.rotate_keys.target import Target, UnservedError

_LOOK_SECONDS: Final = 0.2


async def require_served(target: Target, key: SigningKey) -> None:
    """Refuse a key that the issuer does not serve: nobody could verify what it signs."""
    try:
        served = await target.served()
    except UnservedError as error:
        narrate(f"not known whether the issuer serves the key: {error}")
        return
    if key.kid not in served.kids:
        raise RotationRefusedError(
            f"the issuer does not serve key {key.kid}: retire it, and publish another"
        )


async def until_known(target: Target, key: SigningKey, *, wait: timedelta | None) -> None:
    """Wait until every replica of the service takes tokens of the key.

    Without `wait` the replicas that do not are only named. Raises `RotationRefusedError`.
    """
    deadline = time.monotonic() + (wait or timedelta(0)).total_seconds()
    told = False
    while True:
        replicas = await target.replicas()
        waiting = [replica for replica in replicas if not replica.takes(key)]
        if not waiting or wait is None:
            break
        if time.monotonic() > deadline:
            raise RotationRefusedError(_who_does_not_know(waiting, key))
        if not told:
            narrate(f"waiting for {len(waiting)} of {len(replicas)} replicas to learn the key")
            told = True
        await asyncio.sleep(_LOOK_SECONDS)
    if waiting:
        narrate(_who_does_not_know(waiting, key))
    elif not replicas and target.better_auth is not None:
        narrate("no replica of the service has reported; going by time alone")


def narrate(text: str) -> None:
    """Write a line for the person who runs the command."""
    print(f"rotate-keys: {text}", file=sys.stderr)


def _who_does_not_know(waiting: Sequence[Replica], key: SigningKey) -> str:
    first = waiting[0]
    why = "has not fetched it" if key.kid not in first.kids else f"takes no {key.algorithm} tokens"
    cure = "" if key.kid not in first.kids else " (set its JWT_ALGORITHMS)"
    who = "1 replica does" if len(waiting) == 1 else f"{len(waiting)} replicas do"
    return f"{who} not take key {key.kid} yet: {first.name} {why}{cure}"
