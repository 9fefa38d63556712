"""Drills of any running system: use, isolation, rotation, a stolen key, writes during a change."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

import httpx

from scripts.proofs.compose import visitors
from scripts.proofs.compose.engine import ComposeError
from scripts.proofs.compose.visitors import Writer
from scripts.proofs.rotation.people import Person, header_of

_LEARNING: Final = ("--learning-time", "2s", "--publish-ahead", "2s")
_KEEP_VERIFYING: Final = ("--keep-verifying", "90s")
_REVOKED_WITHIN_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 30.0
_IN_A_ROW: Final = 10
# More than there are replicas, so that each of them is asked.
_CALLS: Final = 6


@dataclass
class Report:
    """What a drill has shown, with its figures."""

    drill: str
    figures: dict[str, float] = field(default_factory=dict)


class System(Protocol):
    """A running system, as the drills use it."""

    @property
    def web(self) -> str:
        """The web app's origin for browsers."""

    @property
    def api(self) -> str:
        """The service's origin for browsers."""

    @property
    def authority(self) -> Path:
        """The certificate of the proxy's certificate authority."""

    @property
    def replicas(self) -> Sequence[str]:
        """The names of the service's replicas."""

    def logs(self, name: str) -> str:
        """Return everything that a replica has written."""

    def operate(self, *command: str) -> Any:
        """Run an operators' command, and return its JSON."""


@dataclass
class SharedDrills:
    """Drills over HTTPS, with the operators' commands."""

    system: System
    people: list[Person] = field(default_factory=list)

    async def used(self, report: Report) -> None:
        """Sign users up over HTTPS. All replicas serve them, and no user sees another's tasks."""
        for number in range(3):
            person = await visitors.sign_up(
                f"person-{number}",
                web=self.system.web,
                api=self.system.api,
                authority=self.system.authority,
            )
            self.people.append(person)
        ada, bob, _ = self.people
        made = await self.ask(ada, "POST", "/api/tasks", {"title": "hers"})
        if made.status_code != httpx.codes.CREATED:
            raise ComposeError(f"creating a task: status {made.status_code}")
        path = f"/api/tasks/{made.json()['id']}"
        marks = [uuid4().hex for _ in range(40)]
        for hers, his in zip(marks[::2], marks[1::2], strict=True):
            mine = await self.ask(ada, "GET", path, mark=hers)
            theirs = await self.ask(bob, "GET", path, mark=his)
            if (mine.status_code, theirs.status_code) != (200, 404):
                raise ComposeError(f"isolation: {mine.status_code}, {theirs.status_code}")
        # At the end, because a line is written a moment after its request.
        served = self._served_by(marks)
        for number, replica in enumerate(self.system.replicas, 1):
            report.figures[f"requests answered by replica {number}"] = served[replica]
            if not served[replica]:
                raise ComposeError(f"{replica} has answered no request")
        login = {"email": "person-0@example.com", "password": "correct horse"}
        answer = await self.ask(ada, "POST", "/api/auth/login", login)
        if answer.status_code != httpx.codes.OK:
            raise ComposeError(f"login through the service: status {answer.status_code}")
        refused = (await self.ask(ada, "GET", "/metrics")).status_code
        if refused != httpx.codes.NOT_FOUND:
            raise ComposeError(f"/metrics from outside: status {refused}")

    async def rotated(self, report: Report) -> None:
        """Rotate the key with the operators' commands. No valid token may be refused."""
        counts = await self._under_load(self._rotate)
        report.figures |= counts
        for kind, count in counts.items():
            if kind.startswith(("good tokens refused", "good tokens not", "requests failed")):
                raise ComposeError(f"rotation: {kind}: {count}")

    async def _rotate(self) -> None:
        (old,) = [key["kid"] for key in await self._keys() if key["state"] == "active"]
        new = (await self._operate("publish", *_LEARNING))["steps"][0]["kid"]
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not await self._known_everywhere(new):
            if time.monotonic() > deadline:
                raise ComposeError("the replicas did not learn the new key in time")
            await asyncio.sleep(0.5)
        await asyncio.sleep(2)
        await self._operate("activate", *_LEARNING)
        await self._all_use(new)
        await self._operate("retire")
        reason = ("--force", "--reason", "every user has a new token")
        await self._operate("prune", old, *reason)
        await asyncio.sleep(1)

    async def stolen_key(self, report: Report) -> None:
        """Revoke a key. All replicas refuse its tokens at once, and users get new tokens."""
        thief = self.people[0]
        await thief.refresh()
        token = thief.token
        kid = header_of(token)["kid"]
        if await self._statuses(thief, token) != {httpx.codes.OK}:
            raise ComposeError("the token is refused before its key is revoked")
        watch = asyncio.create_task(
            visitors.until_refused(thief, token, self.system.api, in_a_row=_IN_A_ROW)
        )
        await self._operate("revoke", kid, "--reason", "a drill")
        done = time.monotonic()
        late = max(0.0, await watch - done)
        report.figures["refused everywhere after the command, s"] = late
        if late > _REVOKED_WITHIN_SECONDS:
            raise ComposeError(f"the revoked key was accepted for {late:.1f} s longer")
        for person in self.people:
            await person.refresh()
        if await self._statuses(thief, thief.token) != {httpx.codes.OK}:
            raise ComposeError("a token of the next key is refused")

    async def write_during(
        self, work: Callable[[], Coroutine[Any, Any, None]], *, may_lose: bool = False
    ) -> Counter[str]:
        """Write and read tasks during `work`, and return the counts.

        Raises `ComposeError` if an acknowledged task is lost or, unless `may_lose`, a request.
        """
        writers = [Writer(person, self.system.api) for person in self.people]
        lives = [asyncio.create_task(writer.live()) for writer in writers]
        try:
            await work()
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)
        counts = sum((writer.counts for writer in writers), Counter[str]())
        for kind, count in counts.items():
            if "lost" in kind and not may_lose:
                raise ComposeError(f"while replicas stopped: {kind}: {count}")
        for writer in writers:
            await writer.person.refresh()
            missing = writer.created - await writer.listed()
            if missing:
                raise ComposeError(f"{len(missing)} tasks that were created are missing")
        return counts

    async def _statuses(self, person: Person, token: str) -> set[int]:
        calls = [(person, token)] * _CALLS
        return {*await visitors.statuses(calls, self.system.api, "/api/auth/me")}

    async def close(self) -> None:
        """Close the connections of all users."""
        for person in self.people:
            await person.web_client.aclose()

    async def _under_load(self, work: Callable[[], Any]) -> Counter[str]:
        for person in self.people:
            person.counts.clear()
        lives = [asyncio.create_task(person.live()) for person in self.people]
        try:
            await work()
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*lives, return_exceptions=True)
        return sum((person.counts for person in self.people), Counter[str]())

    async def _all_use(self, kid: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while any(header_of(person.token)["kid"] != kid for person in self.people):
            if time.monotonic() > deadline:
                raise ComposeError("not every user got a token of the new key in time")
            await asyncio.sleep(0.2)

    async def _keys(self) -> Sequence[Any]:
        status = ("rotate-keys", "status", *_LEARNING)
        keys: Sequence[Any] = (await asyncio.to_thread(self.system.operate, *status))["keys"]
        return keys

    async def _known_everywhere(self, kid: str) -> bool:
        (key,) = [key for key in await self._keys() if key["kid"] == kid]
        return bool(key["served"]) and len(key["known_by"]) == len(self.system.replicas)

    async def _operate(self, *arguments: str) -> Any:
        command = ("rotate-keys", *arguments, *_KEEP_VERIFYING, "--execute")
        return await asyncio.to_thread(self.system.operate, *command)

    async def ask(
        self,
        person: Person,
        method: str,
        path: str,
        body: dict[str, str] | None = None,
        *,
        mark: str = "",
    ) -> httpx.Response:
        """Send a request with the token of a user."""
        headers = {"Authorization": f"Bearer {person.token}", "X-Request-ID": mark}
        return await person.service_client.request(
            method, f"{self.system.api}{path}", headers=headers, json=body
        )

    def _served_by(self, marks: Sequence[str]) -> Counter[str]:
        found: Counter[str] = Counter()
        for replica in self.system.replicas:
            text = self.system.logs(replica)
            found[replica] += sum(mark in text for mark in marks)
        return found
