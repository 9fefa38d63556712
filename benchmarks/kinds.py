"""The kinds of requests that are measured."""

import itertools
import json
import random
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from benchmarks.load import Request
from benchmarks.world import HEAVY_USERS, LIVE_TASKS, World, body_of, forged

# Twenty tasks each, of a hundred.
QUERIES: Final = (
    "limit=20",
    "limit=20&sort=created_at",
    "limit=20&sort=-updated_at",
    "limit=20&completed=false",
    "limit=20&priority=1",
    "limit=20&sort=updated_at&completed=true",
)
_PREPARED: Final = 2_000
_MIXTURE: Final = (("list", 10), ("get", 6), ("create", 2), ("patch", 2))


class Visitors:
    """The world's users with their tokens; makes the requests."""

    def __init__(self, world: World, *, cold: int) -> None:
        self.world = world
        self._cold = cold
        self._cold_tokens: dict[int, list[str]] = {}
        self.tokens = [world.token(world.user(number)) for number in range(world.users)]
        self.heavy = [world.token(world.heavy_user(number)) for number in range(HEAVY_USERS)]
        self._turns = itertools.cycle(range(HEAVY_USERS))
        self._random = random.Random(1)  # noqa: S311 - the same requests for every server

    def some(self) -> tuple[int, str]:
        """Choose a user: return the number and the token."""
        number = self._random.randrange(len(self.tokens))
        return number, self.tokens[number]

    def next_heavy(self) -> tuple[int, str]:
        """Take the users with many tasks in turns, so that none reaches the limit before others."""
        number = next(self._turns)
        return number, self.heavy[number]

    def path(self, user: int) -> str:
        """Return the path of one of a user's live tasks."""
        return f"/api/tasks/{self.world.task_id(user, self._random.randrange(LIVE_TASKS))}"

    def cold_tokens(self, number: int) -> list[str]:
        """Return the tokens of one round that no server has seen in another round."""
        if number not in self._cold_tokens:
            users = itertools.islice(itertools.cycle(range(self.world.users)), self._cold)
            self._cold_tokens[number] = [self.world.token(self.world.user(user)) for user in users]
        return self._cold_tokens[number]

    def listed(self, token: str | None) -> bytes:
        """Make a request for a list."""
        return request("GET", f"/api/tasks?{self._random.choice(QUERIES)}", token)


def request(
    method: str, path: str, token: str | None, body: bytes | None = None, extra: str = ""
) -> bytes:
    """Write an HTTP request with the headers that a client of an API sends."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n"
    head += f"User-Agent: benchmark\r\n{extra}"
    if token is not None:
        head += f"Authorization: Bearer {token}\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n".encode() + (body or b"")


def _repeated(make: Callable[[Visitors], bytes], status: int) -> "Source":
    """Prepare requests and send them again and again, in another order each time."""

    def source(visitors: Visitors, _number: int) -> Iterator[Request]:
        prepared = [(make(visitors), status) for _ in range(_PREPARED)]
        while True:
            random.shuffle(prepared)
            yield from prepared

    return source


def _get(visitors: Visitors) -> bytes:
    user, token = visitors.some()
    return request("GET", visitors.path(user), token)


def _create(visitors: Visitors) -> bytes:
    user, token = visitors.some()
    return request("POST", "/api/tasks", token, body_of(user))


def _heavy_create(visitors: Visitors) -> bytes:
    user, token = visitors.next_heavy()
    return request("POST", "/api/tasks", token, body_of(user))


def _patch(visitors: Visitors) -> bytes:
    user, token = visitors.some()
    change = {"completed": bool(user % 2)} if user % 3 else {"title": f"Changed {user}"}
    return request("PATCH", visitors.path(user), token, json.dumps(change).encode())


def _put(visitors: Visitors) -> bytes:
    user, token = visitors.some()
    return request("PUT", visitors.path(user), token, body_of(user))


def _garbage(visitors: Visitors) -> bytes:
    return visitors.listed(".".join(secrets.token_urlsafe(48) for _ in range(3)))


def _create_once(visitors: Visitors, number: int) -> Iterator[Request]:
    run = secrets.token_hex(4)
    for serial in itertools.count():
        user, token = visitors.some()
        key = f"Idempotency-Key: {run}-{number}-{serial}\r\n"
        yield request("POST", "/api/tasks", token, body_of(user), key), 201


def _delete(visitors: Visitors, _number: int) -> Iterator[Request]:
    for message in _each_task(visitors, "DELETE", "", range(LIVE_TASKS)):
        yield message, 204


def _restore(visitors: Visitors, _number: int) -> Iterator[Request]:
    numbers = range(LIVE_TASKS, LIVE_TASKS + visitors.world.deleted_tasks)
    for message in _each_task(visitors, "POST", "/restore", numbers):
        yield message, 200


def _each_task(visitors: Visitors, method: str, end: str, numbers: range) -> Iterator[bytes]:
    """Make a request for each of these tasks of each user, once."""
    for task, user in itertools.product(numbers, range(visitors.world.users)):
        path = f"/api/tasks/{visitors.world.task_id(user, task)}{end}"
        yield request(method, path, visitors.tokens[user])


def _cold_list(visitors: Visitors, number: int) -> Iterator[Request]:
    for token in visitors.cold_tokens(number):
        yield visitors.listed(token), 200


def _mixed(visitors: Visitors, number: int) -> Iterator[Request]:
    kinds = [
        source
        for name, share in _MIXTURE
        for source in [KINDS[name].source(visitors, number)] * share
    ]
    while True:
        random.shuffle(kinds)
        for kind in kinds:
            yield next(kind)


Source = Callable[[Visitors, int], Iterator[Request]]


@dataclass(frozen=True)
class Kind:
    """A kind of request. Where it `changes` tasks, they are as they were before it is measured."""

    title: str
    source: Source
    changes: bool = False
    heavy: bool = False
    connections: int = 32
    open_at: float | None = None
    """The rate of an open loop, as a share of the closed loop's."""


_LIST: Final = _repeated(lambda visitors: visitors.listed(visitors.some()[1]), 200)
KINDS: Final[dict[str, Kind]] = {
    "list": Kind("list of 20", _LIST),
    "get": Kind("get", _repeated(_get, 200)),
    "create": Kind("create", _repeated(_create, 201), changes=True),
    "create-once": Kind("create with Idempotency-Key", _create_once, changes=True),
    "create-9000": Kind(
        "create at 9,000 tasks", _repeated(_heavy_create, 201), changes=True, heavy=True
    ),
    "patch": Kind("PATCH", _repeated(_patch, 200), changes=True),
    "put": Kind("PUT", _repeated(_put, 200), changes=True),
    "delete": Kind("DELETE", _delete, changes=True),
    "restore": Kind("restore", _restore, changes=True),
    "mixed": Kind("mixed", _mixed, changes=True),
    "cold": Kind("cold list", _cold_list),
    "no-token": Kind("401 no token", _repeated(lambda visitors: visitors.listed(None), 401)),
    "bad-signature": Kind(
        "401 bad signature",
        _repeated(lambda visitors: visitors.listed(forged(visitors.some()[1])), 401),
    ),
    "garbage": Kind("401 garbage", _repeated(_garbage, 401)),
    "list-open": Kind("list, open loop at half", _LIST, connections=128, open_at=0.5),
    "list-128": Kind("list, 128 connections", _LIST, connections=128),
    "list-400": Kind("list, 400 connections", _LIST, connections=400),
}
