"""A start without the database: the service answers, and recovers by itself."""

import asyncio
from typing import cast

import pytest
from sqlalchemy import make_url

from scripts.proofs.in_process import running
from service.app import create_app
from service.database.execution import Database
from service.security.key_watch import KeyWatch
from service.settings.model import Settings
from service.system.starting import watching_keys
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


class Watch:
    """A `KeyWatch` that loads nothing."""

    reachable: bool | None = None

    async def start(self, *, reachable: bool) -> None:
        self.reachable = reachable

    async def stop(self) -> None:
        """Nothing was begun."""


async def test_pool_is_opened_after_the_start_and_not_waited_for() -> None:
    events: list[str] = []
    serving, opened = asyncio.Event(), asyncio.Event()

    class Slow:
        async def check_role(self) -> None:
            events.append("checked")

        async def open_in_turn(self) -> None:
            await serving.wait()
            events.append("opened")
            opened.set()

    watch = Watch()
    async with watching_keys(cast("KeyWatch", watch), cast("Database", Slow()), patience=None):
        assert watch.reachable is True
        events.append("serving")
        serving.set()
        await opened.wait()
    assert events == ["checked", "serving", "opened"]


async def test_unexpected_error_of_the_first_check_does_not_keep_revocations_from_being_loaded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing:
        async def check_role(self) -> None:
            raise RuntimeError

        async def open_in_turn(self) -> None:
            """Open none."""

    watch = Watch()
    async with watching_keys(cast("KeyWatch", watch), cast("Database", Failing()), patience=None):
        assert watch.reachable is False
    (line,) = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert line.startswith("unexpected error while checking the database")
