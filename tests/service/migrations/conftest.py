"""A migrated database of one test, and a release that has one more migration."""

import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from scripts.devstack.postgres.roles import drop_database
from service.database.url import parse_database_url
from service.migrations import history
from service.migrations.runner import upgrade
from tests.conftest import DatabaseUrls, PostgresServer

NEXT = "0008"
_MIGRATION = '''"""Next."""

from alembic import op

from service.migrations.concurrently import create_index

revision = "{number}"
down_revision = "{before}"
AUTOCOMMIT = {autocommit}


def upgrade() -> None:
    {body}
'''

NextRelease = Callable[..., None]


@pytest.fixture
async def migrated(postgres: PostgresServer) -> AsyncIterator[DatabaseUrls]:
    name = f"migrated_{secrets.token_hex(4)}"
    urls = await postgres.make_database(name)
    await upgrade(parse_database_url(urls.owner))
    yield urls
    await drop_database(postgres.superuser_url, name)


@pytest.fixture
def next_release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> NextRelease:
    """Return a function that adds a migration with this body to those of today."""
    folder = tmp_path / "migrations"
    shutil.copytree(history.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))

    def add(body: str, *, autocommit: bool = False) -> None:
        text = _MIGRATION.format(number=NEXT, before="0007", autocommit=autocommit, body=body)
        (folder / "versions" / f"{NEXT}_next.py").write_text(text)
        monkeypatch.setattr(history, "FOLDER", folder)

    return add
