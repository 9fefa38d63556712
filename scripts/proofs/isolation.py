"""Prove under load that no user gets another user's tasks.

    python -m scripts.proofs.isolation [--requests N] [--users N] [--pool N] [--pooler] [--json]

Many users list, search, read, write and delete at the same time, over very few connections to the
database. Every response is checked for tasks of other users. With --pooler, connections go through
PgBouncer in transaction mode, with one connection to the server. Everything runs in this process
and on loopback.
Exit codes: 0 no user got another user's tasks, 1 one did or the proof failed, 2 usage.
"""

import asyncio
import json
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from better_auth_keys import Signer
from scripts.devstack.postgres.embedded import EmbeddedPostgres, PostgresError
from scripts.devstack.postgres.roles import RolePasswords, provide
from scripts.operations.commands import Parser
from scripts.operations.exit_codes import DONE, fail
from scripts.proofs.in_process import running
from scripts.proofs.pgbouncer import PgbouncerError, pgbouncer
from service.app import create_app
from service.database.command_connection import DatabaseError
from service.migrations.runner import upgrade
from service.settings.model import Settings

PATH: Final = "/api/tasks"
ORIGIN: Final = "http://127.0.0.1"
# More users at once than connections, but few enough that none waits too long for one.
_USERS_PER_CONNECTION: Final = 4
_KEPT: Final = 20
_SAY_EVERY: Final = 10_000


class LeakError(Exception):
    """A user got another user's task, or did not get their own. The message is one line."""


@dataclass(frozen=True)
class Load:
    """The size of the load."""

    requests: int
    users: int
    pool: int


@dataclass
class User:
    """One user: their headers, and the titles of their tasks by id."""

    name: str
    headers: dict[str, str]
    own: dict[str, str] = field(default_factory=dict)


async def prove(
    database_url: str,
    load: Load,
    *,
    say: Callable[[str], None] = lambda _line: None,
) -> Counter[str]:
    """Send the load to a service on the database, and return the number of requests by kind.

    Raises `LeakError`.
    """
    signer = Signer.generate()
    with tempfile.TemporaryDirectory() as folder:
        jwks = Path(folder) / "jwks.json"
        jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
        settings = Settings(
            environment="development",
            rate_limits="tasks=1000000/second",
            database_url=database_url,
            database_pool_size=load.pool,
            better_auth_url=ORIGIN,
            jwks_url=jwks.as_uri(),
            # This proves isolation. How long requests wait does not matter.
            request_seconds=60,
        )
        async with running(create_app(settings)) as client:
            # New users, because the database may have been used before.
            run = secrets.token_hex(4)
            users = [_user(signer, f"user-{run}-{n:04}") for n in range(load.users)]
            return await _Run(client, users, load, say).all()


class _Run:
    def __init__(
        self,
        client: httpx.AsyncClient,
        users: list[User],
        load: Load,
        say: Callable[[str], None],
    ) -> None:
        self._client, self._users, self._load, self._say = client, users, load, say
        self._sent: Counter[str] = Counter()
        self._chance = random.Random(15)  # noqa: S311 - reproducible, not secret
        self._began = time.monotonic()

    async def all(self) -> Counter[str]:
        # Only one asyncio task works for a user, so it always knows what the user has.
        at_once = self._load.pool * _USERS_PER_CONNECTION
        shares = (self._users[number::at_once] for number in range(at_once))
        tasks = [asyncio.create_task(self._work(share)) for share in shares]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
        return self._sent

    async def _work(self, users: list[User]) -> None:
        while users and self._sent.total() < self._load.requests:
            await self._step(self._chance.choice(users))

    async def _step(self, user: User) -> None:
        kinds = {"list": 4, "search": 1, "read": 3, "read another's": 2}
        kinds |= {"create": 2} if len(user.own) < _KEPT else {"delete": 2}
        kinds |= {"change": 2} if user.own else {}
        kind = self._chance.choices([*kinds], [*kinds.values()])[0]
        self._sent[kind] += 1
        total = self._sent.total()
        if total % _SAY_EVERY == 0:
            rate = total / (time.monotonic() - self._began)
            self._say(f"{total} requests, {rate:.0f} per second")
        mine = self._chance.choice([*user.own]) if user.own else ""
        match kind:
            case "list" | "search":
                query = {"limit": "100"} | ({"q": user.name} if kind == "search" else {})
                answer = await self._ask(user, "GET", params=query)
                self._same(user, {task["id"]: task["title"] for task in answer.json()["items"]})
            case "create":
                title = f"{user.name} has {self._sent['create']}"
                answer = await self._ask(user, "POST", json={"title": title})
                user.own[answer.json()["id"]] = title
            case "change":
                user.own[mine] = f"{user.name} changed {self._sent['change']}"
                await self._ask(user, "PATCH", f"/{mine}", json={"title": user.own[mine]})
            case "delete":
                await self._ask(user, "DELETE", f"/{mine}")
                del user.own[mine]
            case _:
                owner = user if kind == "read" else self._chance.choice(self._users)
                if owner.own:
                    await self._read(user, owner, self._chance.choice([*owner.own]))

    async def _read(self, user: User, owner: User, task_id: str) -> None:
        if owner is user:
            answer = await self._ask(user, "GET", f"/{task_id}")
            self._same(user, {**user.own, task_id: answer.json()["title"]})
            return
        answer = await self._client.get(f"{PATH}/{task_id}", headers=user.headers)
        if answer.status_code != httpx.codes.NOT_FOUND:
            raise LeakError(f"{user.name} got {answer.status_code} for a task of {owner.name}")

    async def _ask(self, user: User, method: str, path: str = "", **more: Any) -> httpx.Response:
        answer = await self._client.request(method, PATH + path, headers=user.headers, **more)
        if not answer.is_success:
            raise LeakError(f"{user.name} got {answer.status_code} for {method} on their own tasks")
        return answer

    def _same(self, user: User, seen: dict[str, str]) -> None:
        if seen != user.own:
            raise LeakError(
                f"{user.name} has {len(user.own)} tasks, but got {len(seen)} different ones"
            )


def _user(signer: Signer, name: str) -> User:
    now = int(time.time())
    claims = {"iss": ORIGIN, "aud": ORIGIN, "sub": name, "iat": now, "exp": now + 3600}
    return User(name, {"Authorization": f"Bearer {signer.mint(claims)}"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = Parser("scripts.proofs.isolation", __doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--pool", type=int, default=2, help="the service's database connections")
    parser.add_argument("--pooler", action="store_true", help="connect through PgBouncer")
    parser.add_argument("--json", action="store_true", help="write JSON for machines")
    arguments = parser.parse_args(argv)
    load = Load(arguments.requests, arguments.users, arguments.pool)
    began = time.monotonic()
    try:
        with EmbeddedPostgres.ephemeral(say=_say) as server:
            sent = asyncio.run(_on_server(server, load, pooler=arguments.pooler))
    except (LeakError, PostgresError, PgbouncerError, DatabaseError) as error:
        return fail("scripts.proofs.isolation", error)
    seconds = time.monotonic() - began
    if arguments.json:
        print(json.dumps({"requests": sent, "users": load.users, "cross_reads": 0}))
    else:
        print(f"{sent.total()} requests of {load.users} users in {seconds:.0f} s, no cross-read:")
        print(", ".join(f"{number} {kind}" for kind, number in sent.most_common()))
    return DONE


async def _on_server(server: EmbeddedPostgres, load: Load, *, pooler: bool) -> Counter[str]:
    passwords = RolePasswords()
    await provide(server.url(), passwords)
    urls = passwords.urls(server.url())
    await upgrade(urls["owner"])
    app = urls["app"].setting
    if not pooler:
        return await prove(app, load, say=_say)
    with pgbouncer(server.port, user="app", password=passwords.app, connections=1) as port:
        through = f"{app.replace(f':{server.port}/', f':{port}/')}?prepared_statement_cache_size=0"
        return await prove(through, load, say=_say)


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
