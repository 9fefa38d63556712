"""A pool on the database, a proxy in front of it, and a fake server."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.engine import make_url

from service.database.execution import Database
from service.database.url import parse_database_url
from tests.conftest import DatabaseUrls
from tests.service.database.fake_server import Server
from tests.simulators.postgres_proxy import PostgresProxy, postgres_proxy


@pytest.fixture
async def pool(database: DatabaseUrls) -> AsyncIterator[Database]:
    """A pool of one connection, which all owners in a test share."""
    one = Database(parse_database_url(database.app), pool_size=1)
    yield one
    await one.close()


@pytest.fixture
async def proxy(database: DatabaseUrls) -> AsyncIterator[PostgresProxy]:
    """A proxy in front of the database."""
    target = make_url(database.app)
    async with postgres_proxy(target.host or "", target.port or 5432) as running_proxy:
        yield running_proxy


@pytest.fixture
def server() -> Server:
    """A fake server that connections are opened to."""
    return Server()
