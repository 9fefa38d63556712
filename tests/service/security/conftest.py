"""The database of a test, for a role that may change the times of rows."""

import pytest

from tests.conftest import DatabaseUrls, PostgresServer


@pytest.fixture
def superuser(postgres: PostgresServer, issuer_database: DatabaseUrls) -> str:
    """The test's database, with a role that may change the times of rows."""
    server, name = postgres.superuser_url, issuer_database.app.rpartition("/")[2]
    return f"{server.rpartition('/')[0]}/{name}"
