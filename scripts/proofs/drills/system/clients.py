"""Clients that read and write tasks until they are stopped, and keep the ledger.

A client finds out the result of each write before its next one: it decides the write. After a
refusal or a lost connection, it repeats a creation with the same Idempotency-Key, and reads the
task before it repeats a change or a deletion.
"""

import asyncio
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from scripts.proofs.drills.system.connection import Answer, Connection
from scripts.proofs.drills.system.ledger import Book, Known, Ledger

TASKS: Final = "/api/tasks"
_PAUSE_SECONDS: Final = 0.1
_MOST_TASKS: Final = 40
_NONE: Final[Mapping[str, str]] = {}
_OK, _CREATED, _NO_CONTENT = 200, 201, 204
_NOT_FOUND, _CONFLICT, _STALE, _LIMITED, _UNAVAILABLE = 404, 409, 412, 429, 503
_PASSING: Final = frozenset({_LIMITED, _UNAVAILABLE})


class _StoppedError(Exception):
    """The drill is over, and the write stays undecided."""


@dataclass
class Client:
    """One user, on one connection at a time.

    With several `ports`, it uses the next one after a failure or a response that closes the
    connection.
    """

    ledger: Ledger
    book: Book
    token: str
    ports: Sequence[int]
    pace: float | None = None
    """Requests per second; None for as many as possible."""
    mix: tuple[int, int, int, int, int] = (7, 5, 4, 3, 1)
    """Weights of create, get, change, list and delete."""
    pause: float = _PAUSE_SECONDS
    """How long to wait after a refusal or a lost connection."""
    last_good: float = 0.0
    """When the last good answer arrived, on the loop's clock."""
    _stopping: bool = False
    _given_up: bool = False
    _created: int = 0
    _chance: random.Random = field(init=False)
    _connection: Connection = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.book.user)  # noqa: S311 - reproducible, not secret
        self._turn = self._chance.randrange(len(self.ports))
        self._connection = Connection(self.ports[self._turn])

    async def live(self) -> None:
        """Read and write until `stop` is called."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._chance.random() / (self.pace or 1)
        try:
            while not self._stopping:
                if self.pace is not None:
                    await asyncio.sleep(max(0.0, due - loop.time()))
                    # A client that was held up does not catch up in a burst.
                    due = max(due + 1 / self.pace, loop.time() - 1)
                await self._step()
        except _StoppedError:
            pass
        finally:
            self._connection.close()

    def stop(self) -> None:
        """Decide the current write, then end."""
        self._stopping = True

    def give_up(self) -> None:
        """End without deciding the current write."""
        self._stopping = self._given_up = True

    async def _step(self) -> None:
        live = self.book.live
        create, get, change, listing, delete = self.mix
        if len(live) >= _MOST_TASKS:
            create, delete = 0, create + delete
        if not live:
            get = change = delete = 0
        weights = (create, get, change, listing, delete)
        chosen = self._chance.choices(("create", "get", "change", "list", "delete"), weights)[0]
        task_id = self._chance.choice(live) if live else ""
        match chosen:
            case "create":
                await self._create()
            case "get":
                await self._get(task_id)
            case "change":
                await self._change(task_id)
            case "list":
                self._expect(await self._ask("GET", f"{TASKS}?limit=20"), _OK)
            case _:
                await self._delete(task_id)

    async def _create(self) -> None:
        self._created += 1
        mark, key = f"{self.book.user} {self._created}", str(uuid.uuid4())
        title = f"made {self._created}"
        self.book.open_marks.add(mark)
        while True:
            body = {"title": title, "description": mark}
            answer = await self._ask("POST", TASKS, body=body, headers={"Idempotency-Key": key})
            if answer is not None and answer.status == _CREATED:
                task = answer.json()
                self.book.open_marks.discard(mark)
                self.book.tasks[task["id"]] = Known(mark, title, task["version"])
                self.book.live.append(task["id"])
                return
            # 409: the request before this one still runs, although its connection is closed.
            if answer is not None and answer.status not in {*_PASSING, _CONFLICT}:
                self._expect(answer, _CREATED)
                return
            await self._pause()

    async def _get(self, task_id: str) -> None:
        known = self.book.tasks[task_id]
        answer = await self._ask("GET", f"{TASKS}/{task_id}")
        if answer is None or answer.status in _PASSING:
            await self._pause()
            return
        if self._expect(answer, _OK):
            task = answer.json()
            if (task["title"], task["version"]) != (known.title, known.version):
                self.ledger.lost.append(f"task {known.mark}: a GET returned an older version")

    async def _change(self, task_id: str) -> None:
        known = self.book.tasks[task_id]
        title = f"changed {known.version} of {known.mark}"
        known.open_title = title
        while True:
            answer = await self._ask(
                "PATCH",
                f"{TASKS}/{task_id}",
                body={"title": title},
                headers={"If-Match": f'"v{known.version}"'},
            )
            if answer is not None and answer.status == _OK:
                known.title, known.version = title, answer.json()["version"]
                known.open_title = None
                return
            if answer is not None and answer.status not in {*_PASSING, _STALE}:
                self._expect(answer, _OK)
                return
            await self._pause()
            found = await self._read(task_id)
            if found is not None and found[0] == title:
                # An attempt before this one was successful, although its answer was lost.
                (known.title, known.version), known.open_title = found, None
                return
            if found is not None and answer is not None and answer.status == _STALE:
                self.ledger.lost.append(f"task {known.mark}: stale, but it has not changed")
                return

    async def _delete(self, task_id: str) -> None:
        known = self.book.tasks[task_id]
        known.open_deletion, first = True, True
        while True:
            answer = await self._ask("DELETE", f"{TASKS}/{task_id}")
            status = None if answer is None else answer.status
            # 404: an attempt before this one was successful.
            if status == _NO_CONTENT or (status == _NOT_FOUND and not first):
                known.deleted = True
                self.book.live.remove(task_id)
                return
            if answer is not None and status not in _PASSING:
                self._expect(answer, _NO_CONTENT)
                return
            first = False
            await self._pause()

    async def _read(self, task_id: str) -> tuple[str, int] | None:
        """Return the title and the version of a task, or None if they cannot be read now."""
        answer = await self._ask("GET", f"{TASKS}/{task_id}")
        if answer is None or not self._expect(answer, _OK):
            return None
        task = answer.json()
        return task["title"], task["version"]

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] = _NONE,
    ) -> Answer | None:
        if self._given_up:
            raise _StoppedError
        answer = await self._connection.ask(
            method, path, token=self.token, body=body, headers=headers
        )
        self.ledger.traffic.count(answer, self._connection.failure)
        if (answer is None or answer.closes) and len(self.ports) > 1:
            # As a load balancer does for a replica that is not ready.
            self._turn = (self._turn + 1) % len(self.ports)
            self._connection.close()
            self._connection = Connection(self.ports[self._turn])
        elif answer is not None and answer.status == _UNAVAILABLE:
            # The next connection may reach another worker.
            self._connection.close()
        if answer is not None and answer.status in {_OK, _CREATED, _NO_CONTENT}:
            self.last_good = asyncio.get_running_loop().time()
        return answer

    def _expect(self, answer: Answer | None, status: int) -> bool:
        """Note an answer that a good request must not get; return whether it is the right one."""
        if answer is None or answer.status in _PASSING:
            return False
        if answer.status != status:
            self.ledger.wrong[f"{answer.status} {answer.code} instead of {status}"] += 1
        return answer.status == status

    async def _pause(self) -> None:
        if self._given_up:
            raise _StoppedError
        await asyncio.sleep(self.pause)
