"""What a pool does whose database must not be used."""

import pytest

from service.database.execution import Database, DatabaseRefusedError
from service.database.url import parse_database_url
from service.tasks.query import TaskQuery
from service.tasks.repository import TaskRepository
from tests.service.database.owners import owner


async def refused(url: str, hint: str) -> None:
    """Check that a pool with this URL serves nothing, and that the reason is one line."""
    pool = Database(parse_database_url(url), pool_size=1)
    with pytest.raises(DatabaseRefusedError, match=hint) as caught:
        await pool.check()
    assert "pw@" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(DatabaseRefusedError):
        await TaskRepository(pool, owner()).list_page(TaskQuery(), limit=1)
    await pool.close()
