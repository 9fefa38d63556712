"""`Connection.rows`: the shorter way answers as asyncpg's own `fetch` does, and is taken."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from service.database.driver import Connection
from service.database.opening import Opener
from service.database.url import parse_database_url
from tests.conftest import DatabaseUrls

COUNT = "SELECT $1::int + 1 AS more"
ITEMS = "SELECT * FROM pg_temp.items"


class Counting(Connection):
    """Counts the calls of `fetch`."""

    fetches = 0

    async def fetch(self, *args: object, **kwargs: object) -> list[asyncpg.Record]:  # type: ignore[override] # all are passed on
        self.fetches += 1
        return await super().fetch(*args, **kwargs)  # type: ignore[call-overload,no-any-return] # as above


async def opened(
    database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch, *, prepared_statements: bool
) -> Counting:
    monkeypatch.setattr("service.database.opening.Connection", Counting)
    # Role `app` may not create the tables whose change is tested here.
    url = parse_database_url(database.owner)
    opener = Opener(url, application="test", prepared_statements=prepared_statements)
    connection = await opener.open(5)
    assert isinstance(connection, Counting)
    return connection


@pytest.fixture
async def connection(
    database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Counting]:
    one = await opened(database, monkeypatch, prepared_statements=True)
    yield one
    await one.close()


async def number(connection: Connection, argument: object) -> object:
    [row] = await connection.rows(COUNT, [argument], seconds=5)
    return row["more"]


async def test_statement_is_prepared_once_and_then_goes_the_shorter_way(
    connection: Counting,
) -> None:
    assert [await number(connection, each) for each in (1, 2, 3)] == [2, 3, 4]
    assert connection.fetches == 1


async def test_without_prepared_statements_each_goes_the_longer_way(
    database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await opened(database, monkeypatch, prepared_statements=False)
    assert [await number(connection, each) for each in (1, 2, 3)] == [2, 3, 4]
    assert connection.fetches == 3
    await connection.close()


async def test_errors_are_those_of_the_longer_way(connection: Counting) -> None:
    await number(connection, 1)
    sleep = "SELECT pg_sleep($1)"
    await connection.rows(sleep, [0], seconds=5)
    with pytest.raises(asyncpg.DataError):
        await number(connection, "one")
    with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
        await connection.rows(COUNT, [1, 2], seconds=5)
    with pytest.raises(asyncpg.NumericValueOutOfRangeError):
        await number(connection, 2**31 - 1)
    with pytest.raises(TimeoutError):
        await connection.rows(sleep, [5], seconds=0.05)
    assert await number(connection, 1) == 2
    connection.terminate()
    with pytest.raises(asyncpg.InterfaceError, match="connection is closed"):
        await number(connection, 1)


async def test_statement_whose_columns_were_changed_is_prepared_again(
    connection: Counting,
) -> None:
    await connection.execute("CREATE TEMP TABLE items AS SELECT 1 AS number")
    for _ in range(2):
        assert [dict(row) for row in await connection.rows(ITEMS, [], seconds=5)] == [{"number": 1}]
    await connection.execute("ALTER TABLE pg_temp.items ADD COLUMN name text DEFAULT 'one'")
    for _ in range(2):
        rows = await connection.rows(ITEMS, [], seconds=5)
        assert [dict(row) for row in rows] == [{"number": 1, "name": "one"}]
    assert connection.fetches == 2


async def test_type_that_was_changed_is_read_anew_the_next_time(connection: Counting) -> None:
    await connection.execute("CREATE TYPE pg_temp.pair AS (a int)")
    await connection.execute("CREATE TEMP TABLE items AS SELECT ROW(1)::pg_temp.pair AS pair")
    for _ in range(2):
        [row] = await connection.rows(ITEMS, [], seconds=5)
        assert tuple(row["pair"]) == (1,)
    await connection.execute("ALTER TYPE pg_temp.pair ADD ATTRIBUTE b int")
    with pytest.raises(asyncpg.OutdatedSchemaCacheError):
        await connection.rows(ITEMS, [], seconds=5)
    [row] = await connection.rows(ITEMS, [], seconds=5)
    assert tuple(row["pair"]) == (1, None)
