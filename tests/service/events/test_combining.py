"""A user's changes are sent in few writes, without losing any or their order."""

import asyncio
from collections.abc import Sequence

from service.events.combining import Change, Combining


class Sent:
    """Records what was sent, and waits for it."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, list[Change]]] = []
        self._arrived = asyncio.Event()

    def __call__(self, tag: str, changes: Sequence[Change]) -> None:
        self.writes.append((tag, [*changes]))
        self._arrived.set()

    async def wait_for(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self.writes) < number:
                self._arrived.clear()
                await self._arrived.wait()


async def test_first_change_is_sent_at_once_and_the_next_ones_together_in_order() -> None:
    sent = Sent()
    combining = Combining(sent)
    changes = [("a", "1"), ("b", "1"), ("a", "2")]
    for change in changes:
        combining.add("tag", change)
    assert sent.writes == [("tag", changes[:1])]
    await sent.wait_for(2)
    assert sent.writes[1:] == [("tag", changes[1:])]


async def test_changes_of_different_users_do_not_wait_for_each_other() -> None:
    sent = Sent()
    combining = Combining(sent)
    combining.add("one", ("a", "1"))
    combining.add("two", ("b", "1"))
    assert sent.writes == [("one", [("a", "1")]), ("two", [("b", "1")])]
