"""Rows about an issuer that cannot be reached. The last one brings it back."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from better_auth_keys import Signer
from better_auth_keys.testing.check.row import Outcome, Row
from better_auth_keys.testing.check.stand import Stand

_UNAVAILABLE: Final = 503
_KNOWN: Final = 3
_SLOW_SECONDS: Final = 1.0
_RECOVERY_SECONDS: Final = 10.0


@asynccontextmanager
async def _unreachable(stand: Stand) -> AsyncIterator[None]:
    """Refuse connections until the block ends."""
    await stand.issuer.stop()
    try:
        yield
    finally:
        await stand.issuer.start()


@asynccontextmanager
async def _failing(stand: Stand) -> AsyncIterator[None]:
    """Reply with status 500 until the block ends."""
    stand.issuer.down(500)
    try:
        yield
    finally:
        stand.issuer.up()


@asynccontextmanager
async def _hanging(stand: Stand) -> AsyncIterator[None]:
    """Do not reply until the block ends."""
    stand.issuer.slow()
    try:
        yield
    finally:
        stand.issuer.up()


async def _known(stand: Stand) -> Outcome:
    async with _unreachable(stand):
        await stand.ask(_unknown(stand))
        return await _known_accepted(stand)


async def _known_while_hanging(stand: Stand) -> Outcome:
    async with _hanging(stand):
        waiting = asyncio.ensure_future(stand.ask(_unknown(stand)))
        try:
            return await _known_accepted(stand)
        finally:
            await waiting


async def _known_accepted(stand: Stand) -> Outcome:
    began = time.monotonic()
    answers = [await stand.ask(stand.token(sub=f"user-{number}")) for number in range(_KNOWN)]
    took = time.monotonic() - began
    wrong = [str(answer) for answer in answers if answer.status != stand.options.accepted]
    seen = ", ".join(wrong) or f"{_KNOWN} accepted in {took:.1f} s"
    return Outcome.of(not wrong and took < _KNOWN * _SLOW_SECONDS, seen)


async def _unknown_while_unreachable(stand: Stand) -> Outcome:
    async with _unreachable(stand):
        return await _undecided(stand)


async def _unknown_while_failing(stand: Stand) -> Outcome:
    async with _failing(stand):
        return await _undecided(stand)


async def _unknown_while_hanging(stand: Stand) -> Outcome:
    async with _hanging(stand):
        return await _undecided(stand)


async def _undecided(stand: Stand) -> Outcome:
    answer = await stand.ask(_unknown(stand))
    again = "with" if answer.headers.get("retry-after") else "without"
    good = answer.status == _UNAVAILABLE and again == "with"
    return Outcome.of(good, f"{answer} {again} Retry-After")


async def _recovery(stand: Stand) -> Outcome:
    async with _unreachable(stand):
        await stand.ask(_unknown(stand))
    new = stand.issuer.rotate(stand.options.algorithms[0])
    began = time.monotonic()
    while True:
        answer = await stand.ask(stand.token(new))
        took = time.monotonic() - began
        if answer.status == stand.options.accepted or took > _RECOVERY_SECONDS:
            break
        await asyncio.sleep(stand.pause)
    good = answer.status == stand.options.accepted
    if good:
        stand.signer = new
    return Outcome.of(good, f"{answer} after {took:.1f} s")


def _unknown(stand: Stand) -> str:
    return stand.token(Signer.generate())


_TRY_LATER: Final = "503 with Retry-After for an unknown key"
ROWS: Final = (
    Row("outage-known", "42", "known keys stay in use while connections are refused", _known),
    Row("outage-unknown", "42", _TRY_LATER, _unknown_while_unreachable),
    Row(
        "failing-unknown",
        "40",
        f"{_TRY_LATER}, while the issuer answers 500",
        _unknown_while_failing,
    ),
    Row(
        "hanging-known",
        "47",
        "known keys do not wait for an issuer that hangs",
        _known_while_hanging,
    ),
    Row("hanging-unknown", "40", f"{_TRY_LATER}, while the issuer hangs", _unknown_while_hanging),
    Row("recovery", "46", "a new key is accepted within 10 s after an outage", _recovery),
)
