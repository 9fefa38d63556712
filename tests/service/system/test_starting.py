"""A start without the database: the service answers, and recovers by itself."""

import asyncio

import pytest
from sqlalchemy import make_url

from scripts.proofs.in_process import running
from service.app import create_app
from service.settings.model import Settings
from tests.conftest import DatabaseUrls
from tests.service.conftest import settings_for
from tests.simulators.postgres_proxy import postgres_proxy


async def test_fault82_service_recovers_from_a_database_that_hung_at_the_start(
    settings: Settings, database: DatabaseUrls
) -> None:
    url = make_url(database.app)
    async with postgres_proxy(str(url.host), url.port or 0) as proxy:
        proxy.hang()
        through = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        ours = settings_for(through, jwks_url=settings.jwks_url)
        async with running(create_app(ours, patience=0)) as client:
            assert (await client.get("/livez")).status_code == 200
            answer = await client.get("/readyz")
            assert answer.status_code == 503
            assert answer.json()["database"] == "unavailable"
            proxy.flow()
            async with asyncio.timeout(20):
                while (await client.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - a request waits
                    await asyncio.sleep(0)


async def test_database_that_must_not_be_used_is_logged_and_not_ready(
    settings: Settings, database: DatabaseUrls, caplog: pytest.LogCaptureFixture
) -> None:
    ours = settings_for(database.owner, jwks_url=settings.jwks_url)
    async with running(create_app(ours)) as client:
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["database"] == "refused"
    (line,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert line.startswith("DATABASE_URL: role owner owns the table")
    assert line.endswith("serving 503 until this is corrected")
