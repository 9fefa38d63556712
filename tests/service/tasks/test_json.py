"""Tasks as JSON: the bytes that a general serializer writes, for any task in the database."""

import random
from collections.abc import AsyncIterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import TypeAdapter

from service.tasks.schemas import Task, TaskPage, page_json, task_json
from tests.conftest import DatabaseUrls

ROWS = 2_000
NAMES = [field.name for field in fields(Task)]
# Characters that JSON escapes or may escape, beyond 16 bits, and that combine with others.
SPECIAL = [
    *map(chr, range(1, 0x20)),
    *"\"\\/\x7f\u0080\u2028\u2029\ufffe\uffff\ufeffé\U0001f600\U0010ffff<>&'{}[]:, \u200d\u0301",
]
FIRST = datetime(1, 1, 1, 0, 0, 1, tzinfo=UTC)
SECONDS = int((datetime(9999, 12, 31, tzinfo=UTC) - FIRST).total_seconds())
MICROSECONDS = [0, 0, 1, 10, 1000, 100_000, 120_000, 999_999]
WRITTEN = TypeAdapter(dict[str, Any])


@pytest.fixture
async def connection(
    database: DatabaseUrls,
) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database.app)
    yield connection
    await connection.close()


def text_of(chance: random.Random, most: int) -> str:
    made: list[str] = []
    while len(made) < most:
        code = chance.randrange(1, 0x110000)
        if chance.random() < 0.5:
            made.append(chance.choice(SPECIAL))
        elif not 0xD800 <= code < 0xE000:
            made.append(chr(code))
    return "".join(made)


def moment_of(chance: random.Random) -> datetime:
    passed = timedelta(seconds=chance.randrange(SECONDS), microseconds=chance.choice(MICROSECONDS))
    return FIRST + passed


def row_of(chance: random.Random, owner: str) -> tuple[object, ...]:
    def perhaps(value: object) -> object:
        return value if chance.random() < 0.6 else None

    return (
        owner,
        UUID(int=chance.getrandbits(128)),
        text_of(chance, chance.randrange(1, 200)),
        perhaps(text_of(chance, chance.randrange(300))),
        chance.random() < 0.5,
        chance.randrange(4),
        perhaps(moment_of(chance)),
        moment_of(chance),
        moment_of(chance),
        perhaps(moment_of(chance)),
        chance.choice([1, 2_147_483_647, chance.randrange(1, 10**6)]),
    )


def written_in_general(task: Task) -> bytes:
    """Encode a task with pydantic, with times in ISO 8601 as Python writes them."""
    columns = {name: getattr(task, name) for name in NAMES}
    for name, value in columns.items():
        if isinstance(value, datetime):
            columns[name] = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        elif isinstance(value, UUID):
            columns[name] = str(value)
    return WRITTEN.dump_json(columns)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
async def test_bytes_are_those_of_a_general_serializer_whatever_the_row(
    connection: "asyncpg.Connection[asyncpg.Record]", zone: str
) -> None:
    chance = random.Random(zone)  # noqa: S311 - reproducible, not secret
    owner = f"json-{uuid4()}"
    await connection.execute(f"SET timezone = '{zone}'")
    await connection.execute("SELECT set_config('app.user_id', $1, false)", owner)
    await connection.executemany(
        "INSERT INTO tasks VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        [row_of(chance, owner) for _ in range(ROWS)],
    )
    rows = await connection.fetch(f"SELECT {', '.join(NAMES)} FROM tasks")  # noqa: S608 - our names
    tasks = [Task(*row) for row in rows]
    assert len(tasks) == ROWS
    for task in tasks:
        assert task_json(task) == written_in_general(task)
    for cursor in (None, "a-cursor_"):
        ending = b'],"next_cursor":' + (b"null" if cursor is None else f'"{cursor}"'.encode())
        page = b'{"items":[' + b",".join(map(written_in_general, tasks[:100])) + ending + b"}"
        assert page_json(TaskPage(tasks[:100], cursor)) == page
