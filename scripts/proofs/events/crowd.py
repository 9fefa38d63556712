"""Many followers: open their streams, wait for what they should have, and judge what they heard."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from scripts.proofs.drills.drill import Seen
from scripts.proofs.drills.system.measure import usage_of
from scripts.proofs.drills.system.service import Service
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.waiting import StageError, until
from scripts.proofs.events.follower import Follower
from scripts.proofs.events.journal import Journal

SETTINGS: Final[Mapping[str, str]] = {
    "TASK_EVENTS": "true",
    "MAX_EVENT_STREAMS_PER_USER": "1000",
}
"""Two users have all the streams; the limit has tests of its own."""
_AT_ONCE: Final = 50
_SETTLE_SECONDS: Final = 20.0
_READY_SECONDS: Final = 30.0


def addresses() -> Iterator[str]:
    """Return addresses of this machine in turn, because the service may limit each of them."""
    return itertools.cycle(f"127.0.0.{number}" for number in range(2, 252))


@asynccontextmanager
async def following(followers: Sequence[Follower]) -> AsyncIterator[None]:
    """Run followers until the block ends. It begins when all have their list.

    Raises `StageError`.
    """
    lives: list[asyncio.Task[None]] = []
    try:
        for first in range(0, len(followers), _AT_ONCE):
            batch = followers[first : first + _AT_ONCE]
            lives += [asyncio.create_task(follower.follow()) for follower in batch]
            await until_all(batch, lambda each: each.ready, "a stream is not live")
        yield
    finally:
        for follower in followers:
            follower.stop()
        await asyncio.gather(*lives)


async def until_all(
    followers: Sequence[Follower],
    condition: Callable[[Follower], bool],
    what: str,
    *,
    seconds: float = _READY_SECONDS,
) -> float:
    """Wait until a condition is true of all followers. Raises `StageError`."""

    async def true_of_all() -> bool:
        return all(map(condition, followers))

    try:
        return await until(true_of_all, what, seconds=seconds)
    except StageError as error:
        number = sum(not condition(each) for each in followers)
        strange = sum((each.strange for each in followers), Counter[str]())
        raise StageError(f"{error}: {number} of {len(followers)}; {dict(strange)}") from None


async def settled(followers: Sequence[Follower]) -> float:
    """Wait until no follower misses anything, but not for ever. Return how long it took."""
    try:
        return await until_all(
            followers, lambda each: not each.missed(), "missed", seconds=_SETTLE_SECONDS
        )
    except StageError:
        return _SETTLE_SECONDS


async def judge(seen: Seen, stage: Stage, followers: Sequence[Follower]) -> None:
    """Compare what the followers heard with the journals, and with the owners in the database."""
    journals = {each.journal.user: each.journal for each in followers}
    rows = await stage.database.tasks_of([*journals])
    own = {user: {row.id for row in found} for user, found in rows.items()}
    foreign = sum(len(each.heard.keys() - own[each.journal.user]) for each in followers)
    missed = sum(len(each.missed()) for each in followers)
    seen.lost += missed
    seen.requests += sum(journal.acknowledged for journal in journals.values())
    seen.require(not foreign, f"{foreign} events of tasks of another user")
    seen.require(not missed, f"{missed} changes missed")
    for what, number in sum((each.strange for each in followers), Counter[str]()).items():
        seen.broken.append(f"{number} x {what}")


def journals_of(names: Iterable[str]) -> list[Journal]:
    """Return an empty journal for each user."""
    return [Journal(name) for name in names]


def megabytes(services: Iterable[Service]) -> float:
    """Return the memory of services together."""
    return sum(usage_of(service.program.processes()).megabytes for service in services)
