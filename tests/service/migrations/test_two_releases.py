"""Two releases serve at once under load, while migrations expand and contract the schema."""

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from better_auth_keys import Signer
from scripts.devstack.network import free_ports
from scripts.setup.checkout import CHECKOUT
from service.settings.model import Settings
from tests.conftest import DatabaseUrls
from tests.service.conftest import ORIGIN, Person, rates
from tests.service.migrations.next_release import contract, make_next_release

pytestmark = pytest.mark.slow

USERS = 4
ROUNDS = 5
"""Each user does so many rounds of requests in each phase, at least."""


@dataclass
class Load:
    """Users who create, read, change, delete and restore tasks, each at one of some releases."""

    releases: list[httpx.AsyncClient]
    headers: list[httpx.Headers]
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    acknowledged: dict[str, int] = field(default_factory=dict)
    """The tasks that were created, and the user of each."""
    rounds: int = 0

    async def run_until(self, work: "asyncio.Task[object]") -> None:
        """Send requests until the work is done, and for some rounds after that."""
        goal = self.rounds + ROUNDS * USERS
        async with asyncio.TaskGroup() as users:
            for number in range(USERS):
                users.create_task(self._user(number, work, goal))
        await work

    async def _user(self, number: int, work: "asyncio.Task[object]", goal: int) -> None:
        turns = itertools.cycle(self.releases[number % 2 :] + self.releases[: number % 2])
        while not work.done() or self.rounds < goal:
            await self._round(number, turns)
            self.rounds += 1

    async def _round(self, number: int, turns: Iterator[httpx.AsyncClient]) -> None:
        async def send(
            method: str, path: str, json: object = None, key: str | None = None
        ) -> httpx.Response:
            headers = httpx.Headers(self.headers[number])
            if key is not None:
                headers["Idempotency-Key"] = key
            answer = await next(turns).request(method, path, headers=headers, json=json)
            self.answers[method, answer.status_code] += 1
            assert answer.status_code < 500, answer.text
            return answer

        key = str(uuid4())
        made = await send("POST", "/api/tasks", json={"title": "Kept"}, key=key)
        assert made.status_code == 201
        path = made.headers["Location"]
        self.acknowledged[path] = number
        # The same request, perhaps at the other release.
        twin = await send("POST", "/api/tasks", json={"title": "Kept"}, key=key)
        assert twin.json()["id"] == made.json()["id"], twin.text
        assert (await send("PATCH", path, json={"priority": 2})).json()["priority"] == 2
        assert (await send("PUT", path, json={"title": "Put"})).json()["title"] == "Put"
        assert (await send("DELETE", path)).status_code == 204
        assert (await send("POST", f"{path}/restore")).status_code == 200
        assert (await send("GET", path)).json()["title"] == "Put"
        assert (await send("GET", "/api/tasks?limit=5")).status_code == 200


@contextlib.asynccontextmanager
async def serving(folder: Path, urls: DatabaseUrls, keys: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run the service of a release until the block ends."""
    (port,) = free_ports(1)
    theirs = {name.upper() for name in Settings.model_fields}
    environment = {
        **{name: text for name, text in os.environ.items() if name not in theirs},
        "ENVIRONMENT": "development",
        "DATABASE_URL": urls.app,
        "BETTER_AUTH_URL": ORIGIN,
        "JWKS_URL": keys.as_uri(),
        "SERVICE_SECRET": "0123456789abcdef0123456789abcdef",
        "RATE_LIMITS": rates(),
        "DATABASE_POOL_SIZE": "4",
        "PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service"),
        cwd=folder,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            async with asyncio.timeout(30):
                while not await is_ready(client):
                    pass
            yield client
    finally:
        process.terminate()
        await process.wait()


async def is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def migrate(folder: Path, urls: DatabaseUrls) -> list[str]:
    """Run the migrations of a release, as its command does, and return what was applied."""
    program = (
        "import asyncio, json, sys\n"
        "from service.database.url import parse_database_url\n"
        "from service.migrations.runner import upgrade\n"
        "print(json.dumps(asyncio.run(upgrade(parse_database_url(sys.argv[1])))))\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, urls.owner), cwd=folder, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    applied: list[str] = json.loads(output)
    return [name.partition(" ")[0] for name in applied]


async def test_fault57_two_releases_serve_while_migrations_expand_and_contract_the_schema(
    migrated: DatabaseUrls, signer: Signer, headers_of: Person, tmp_path: Path
) -> None:
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    folder = tmp_path / "next"
    make_next_release(folder)
    headers = [headers_of(f"user-{number}") for number in range(USERS)]
    applied: list[list[str]] = []

    async def migrate_next() -> None:
        applied.append(await migrate(folder, migrated))

    async with contextlib.AsyncExitStack() as stack:
        async with serving(CHECKOUT, migrated, keys) as old:
            # The release of today has prepared its statements when the schema is expanded.
            load = Load([old], headers)
            await load.run_until(asyncio.create_task(asyncio.sleep(0)))
            await load.run_until(asyncio.create_task(migrate_next()))
            # Now both serve, and each sees what the other one wrote.
            new = await stack.enter_async_context(serving(folder, migrated, keys))
            load.releases = [old, new]
            await load.run_until(asyncio.create_task(asyncio.sleep(0)))
            mine = headers[0]
            made = await new.post("/api/tasks", headers=mine, json={"title": "x", "estimate": 3})
            path = made.headers["Location"]
            await old.patch(path, headers=mine, json={"title": "by the release of today"})
            assert (await new.get(path, headers=mine)).json()["estimate"] == 3
        load.releases = [new]
        contract(folder)
        await load.run_until(asyncio.create_task(migrate_next()))
        assert applied == [["0008", "0009"], ["0010"]]
        assert load.rounds >= 4 * ROUNDS * USERS
        assert {code for _, code in load.answers} <= {200, 201, 204}
        for path, number in load.acknowledged.items():
            assert (await new.get(path, headers=headers[number])).status_code == 200
