"""Drills on the replicas: they count together, stop, become more, hang, and are upgraded."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import httpx

from scripts.proofs.compose.engine import ComposeError
from scripts.proofs.compose.shared_drills import SharedDrills
from scripts.proofs.compose.stack import ComposeStack

_LOGIN_LIMIT: Final = 5
_LOGINS: Final = 14
_SCALED: Final = 3
_REPLACED_WITHIN_SECONDS: Final = 90.0
_POLL_SECONDS: Final = 0.2
_AFTERWARDS_SECONDS: Final = 3
_TRIES: Final = 200
# The program is the child of process 1.
_HANG: Final = "kill -STOP $(cat /proc/1/task/1/children)"


@dataclass(frozen=True)
class Replicas:
    """The replicas, and the people who use them through the proxy."""

    stack: ComposeStack
    shared: SharedDrills

    async def counted(self) -> dict[str, float]:
        """Sign in with wrong passwords. Both replicas must count the attempts together."""
        marks = [uuid4().hex for _ in range(_LOGINS)]
        statuses = []
        for number, mark in enumerate(marks):
            answer = await self.shared.people[0].service_client.post(
                f"{self.stack.api}/api/auth/login",
                json={"email": f"nobody-{number}@example.com", "password": "wrong password"},
                headers={"X-Request-ID": mark},
            )
            statuses.append(answer.status_code)
        used = [any(mark in self.stack.logs(replica) for mark in marks) for replica in self._all()]
        let = sum(status != httpx.codes.TOO_MANY_REQUESTS for status in statuses)
        if not all(used) or let > _LOGIN_LIMIT:
            raise ComposeError(
                f"{let} of {_LOGINS} sign-ins were let through, by {sum(used)} replicas"
            )
        return {f"of {_LOGINS} sign-ins through {len(used)} replicas, let through": let}

    async def stopped(self) -> dict[str, float]:
        """Stop and restart one replica after the other. No request may be lost."""

        async def stop_each() -> None:
            for replica in self._all():
                await asyncio.sleep(2)
                await asyncio.to_thread(self.stack.stop, replica)
                await asyncio.sleep(2)
                await asyncio.to_thread(self.stack.start, replica)
            await asyncio.sleep(_AFTERWARDS_SECONDS)

        return dict(await self.shared.write_during(stop_each))

    async def scaled(self) -> dict[str, float]:
        """Start another replica. The proxy must find it, and no request may be lost."""
        before = set(self._all())
        found: list[float] = []

        async def scale() -> None:
            await asyncio.to_thread(self.stack.scale, _SCALED)
            healthy = time.monotonic()
            (new,) = set(self._all()) - before
            for _ in range(_TRIES):
                if "/api/tasks" in await asyncio.to_thread(self.stack.logs, new):
                    found.append(time.monotonic() - healthy)
                    return
                await asyncio.sleep(_POLL_SECONDS)
            raise ComposeError("the new replica answered no request")

        counts = await self.shared.write_during(scale)
        return {**counts, "the new replica serves after it is healthy, s": found[0]}

    async def hung(self) -> dict[str, float]:
        """Stop a replica's program with SIGSTOP. It must be killed and started again."""
        replica = self._all()[0]
        replaced: list[float] = []

        async def hang() -> None:
            before = self._started(replica)
            await asyncio.to_thread(self.stack.execute, replica, "sh", "-c", _HANG)
            began = time.monotonic()
            while await asyncio.to_thread(self._started, replica) == before:
                if time.monotonic() - began > _REPLACED_WITHIN_SECONDS:
                    raise ComposeError("a hung replica was not replaced")
                await asyncio.sleep(_POLL_SECONDS)
            replaced.append(time.monotonic() - began)
            await asyncio.to_thread(self.stack.wait_for, replica)

        # Requests that it had accepted are lost with it.
        counts = await self.shared.write_during(hang, may_lose=True)
        return {**counts, "a hung replica is started again after, s": replaced[0]}

    async def upgraded(self) -> dict[str, float]:
        """Run `./scripts/upgrade`. It must replace every container without losing a request."""
        before = {*self._all(), self.stack.container("web")}

        async def upgrade() -> None:
            await asyncio.to_thread(self.stack.upgrade)
            await asyncio.sleep(_AFTERWARDS_SECONDS)

        counts = await self.shared.write_during(upgrade)
        after = {*self._all(), self.stack.container("web")}
        if before & after or len(before) != len(after):
            raise ComposeError(
                f"the upgrade kept {len(before & after)} of {len(before)} containers"
            )
        return {**counts, "containers replaced": len(after)}

    def _all(self) -> list[str]:
        return [*self.stack.replicas]

    def _started(self, replica: str) -> str:
        return str(self.stack.inspect(replica)["State"]["StartedAt"])
