"""Requests that wait for the issuer's keys leave room for those whose tokens are known."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from better_auth_keys import Signer
from better_auth_keys.testing import HttpIssuer
from service.app import create_app
from service.http.connections.running import FEWEST, SHARE
from service.http.front import Front
from tests.conftest import DatabaseUrls
from tests.service.conftest import settings_for
from tests.service.wire import exchange, reset, serving, status_of

PLACES = 90
OF_ONE_ADDRESS = PLACES * SHARE // (SHARE + 1)
RUN_AT_ONCE = FEWEST * SHARE // (SHARE + 1)


@pytest.fixture
async def issuer() -> AsyncIterator[HttpIssuer]:
    async with HttpIssuer() as running_issuer:
        yield running_issuer


@pytest.fixture
async def app(database: DatabaseUrls, issuer: HttpIssuer) -> Front:
    own = settings_for(database.app, better_auth_url=issuer.url, max_requests_in_flight=PLACES)
    app = create_app(own)
    assert isinstance(app, Front)
    return app


@pytest.fixture
async def port(app: Front) -> AsyncIterator[int]:
    async with serving(app) as chosen:
        yield chosen


def me(token: str, method: str = "GET") -> bytes:
    return (
        f"{method} /api/auth/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {token}\r\n\r\n"
    ).encode()


async def ask(port: int, token: str, method: str = "GET") -> int:
    return status_of(await exchange(port, me(token, method), end=False))


def unknown(issuer: HttpIssuer) -> str:
    return issuer.token(signer=Signer.generate())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_fault99_known_token_passes_while_its_address_waits_for_keys(
    issuer: HttpIssuer, app: Front, port: int, method: str
) -> None:
    good = issuer.token()
    assert await ask(port, good) == 200
    issuer.slow()
    asked = OF_ONE_ADDRESS + 2
    assert asked > RUN_AT_ONCE
    waiting = {asyncio.create_task(ask(port, unknown(issuer), method)) for _ in range(asked)}
    # Two are more than may wait. When they are refused, all others are waiting.
    refused: set[asyncio.Task[int]] = set()
    while len(refused) < asked - OF_ONE_ADDRESS:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        refused |= done
    assert [task.result() for task in refused] == [503, 503]
    assert app.admission.in_flight == 0
    for _ in range(RUN_AT_ONCE + 1):
        assert await ask(port, good) == 200
    issuer.up()
    assert set(await asyncio.gather(*waiting)) == {401}
    assert (app.admission.in_flight, app.admission.running) == (0, 0)
    # What has ended waits no longer.
    assert await ask(port, unknown(issuer)) == 401


async def test_fault99_client_that_leaves_while_it_waits_for_keys_leaves_its_place(
    issuer: HttpIssuer, app: Front, port: int
) -> None:
    assert await ask(port, issuer.token()) == 200
    issuer.slow()
    for _ in range(2):
        connections = [
            await asyncio.open_connection("127.0.0.1", port) for _ in range(OF_ONE_ADDRESS)
        ]
        async with asyncio.timeout(10):
            for _, writer in connections:
                writer.write(me(unknown(issuer)))
            while app.admission.running < OF_ONE_ADDRESS:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0)
            for _, writer in connections:
                reset(writer)
            while app.admission.running:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)
        assert app.admission.in_flight == 0
