"""Writers: they create, change and delete tasks at a pace, and keep the journal."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from scripts.proofs.drills.system.clients import TASKS
from scripts.proofs.drills.system.connection import Answer, Connection
from scripts.proofs.drills.system.service import Service
from scripts.proofs.events.journal import Journal

_MOST_TASKS: Final = 5
_WEIGHTS: Final = (1, 18, 1)
"""Of create, change and delete. A writer without tasks creates one."""
_PAUSE_SECONDS: Final = 0.1


class Writer:
    """Makes one change after another, with tasks of its own, on one of the replicas.

    After a lost answer or a refusal it continues with the next replica and another task: the
    journal has acknowledged changes only.
    """

    def __init__(
        self, journal: Journal, token: str, ports: Sequence[int], pace: float, seed: int
    ) -> None:
        self._journal, self._token, self._ports, self._pace = journal, token, ports, pace
        self._chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._turn = seed % len(ports)
        self._connection = Connection(ports[self._turn])
        self._versions: dict[str, int] = {}
        self._stopping = False

    async def live(self) -> None:
        """Write until `stop` is called."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._chance.random() / self._pace
        try:
            while not self._stopping:
                await asyncio.sleep(max(0.0, due - loop.time()))
                due += 1 / self._pace
                await self._step(loop)
        finally:
            self._connection.close()

    def stop(self) -> None:
        """Finish the current change, then end."""
        self._stopping = True

    async def _step(self, loop: asyncio.AbstractEventLoop) -> None:
        kinds, weights = ("create", "change", "delete"), _WEIGHTS
        if len(self._versions) >= _MOST_TASKS:
            weights = (0, *_WEIGHTS[1:])
        kind = self._chance.choices(kinds, weights)[0]
        if not self._versions or kind == "create":
            answer = await self._ask("POST", TASKS, {"title": "made"})
            if answer is not None and answer.status == HTTPStatus.CREATED:
                task = answer.json()
                self._versions[task["id"]] = task["version"]
                self._journal.note(task["id"], task["version"], loop.time())
                return
            await self._undecided()
            return
        task_id = self._chance.choice([*self._versions])
        version = self._versions[task_id] + 1
        self._journal.sent[task_id, version] = loop.time()
        path = f"{TASKS}/{task_id}"
        if kind == "delete":
            answer = await self._ask("DELETE", path)
            del self._versions[task_id]
            done = answer is not None and answer.status == HTTPStatus.NO_CONTENT
        else:
            answer = await self._ask("PATCH", path, {"title": f"changed to {version}"})
            done = answer is not None and answer.status == HTTPStatus.OK
            self._versions[task_id] = version
        if done:
            self._journal.note(task_id, version, loop.time(), is_deleted=kind == "delete")
            return
        self._versions.pop(task_id, None)
        await self._undecided()

    async def _ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> Answer | None:
        answer = await self._connection.ask(method, path, token=self._token, body=body)
        if answer is None or answer.closes:
            self._turn = (self._turn + 1) % len(self._ports)
            self._connection.close()
            self._connection = Connection(self._ports[self._turn])
        return answer

    async def _undecided(self) -> None:
        self._journal.undecided += 1
        await asyncio.sleep(_PAUSE_SECONDS)


@asynccontextmanager
async def writing(
    journals: Sequence[Journal],
    tokens: Mapping[str, str],
    services: Sequence[Service],
    *,
    per_second: float,
    writers: int = 48,
) -> AsyncIterator[None]:
    """Run writers that make so many changes a second together, until the block ends."""
    number = max(writers, len(journals))
    ports = [service.port for service in services]
    all_writers = []
    for seed in range(number):
        journal = journals[seed % len(journals)]
        token = tokens[journal.user]
        all_writers.append(Writer(journal, token, ports, per_second / number, seed))
    lives = [asyncio.create_task(writer.live()) for writer in all_writers]
    try:
        yield
    finally:
        for writer in all_writers:
            writer.stop()
        await asyncio.gather(*lives)
