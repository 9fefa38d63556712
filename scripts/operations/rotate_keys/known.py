"""Check who knows a key before it signs: the issuer, and every replica of the service."""

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
    """Refuse a key that the issuer does not serve: its tokens could not be verified."""
    try:
        served = await target.served()
    except UnservedError as error:
        report(f"cannot check whether the issuer serves the key: {error}")
        return
    if key.kid not in served.kids:
        raise RotationRefusedError(
            f"the issuer does not serve key {key.kid}: retire it and publish another"
        )


async def until_known(target: Target, key: SigningKey, *, wait: timedelta | None) -> None:
    """Wait until every replica of the service accepts tokens signed with the key.

    Without `wait`, only report the replicas that do not. Raises `RotationRefusedError`.
    """
    deadline = time.monotonic() + (wait or timedelta(0)).total_seconds()
    reported = False
    while True:
        replicas = await target.replicas()
        waiting = [replica for replica in replicas if not replica.takes(key)]
        if not waiting or wait is None:
            break
        if time.monotonic() > deadline:
            raise RotationRefusedError(_who_does_not_know(waiting, key))
        if not reported:
            report(f"waiting for {len(waiting)} of {len(replicas)} replicas to learn the key")
            reported = True
        await asyncio.sleep(_LOOK_SECONDS)
    if waiting:
        report(_who_does_not_know(waiting, key))
    elif not replicas and target.better_auth is not None:
        report("no replica of the service has reported, so only the times are checked")


def report(text: str) -> None:
    """Write a line for the operator to stderr."""
    print(f"rotate-keys: {text}", file=sys.stderr)


def _who_does_not_know(waiting: Sequence[Replica], key: SigningKey) -> str:
    first = waiting[0]
    why = (
        "has not fetched it" if key.kid not in first.kids else f"accepts no {key.algorithm} tokens"
    )
    cure = "" if key.kid not in first.kids else " (set its JWT_ALGORITHMS)"
    who = "1 replica does" if len(waiting) == 1 else f"{len(waiting)} replicas do"
    return f"{who} not accept key {key.kid} yet: {first.name} {why}{cure}"
