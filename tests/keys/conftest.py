from collections.abc import AsyncIterator

import pytest

from better_auth_keys import RemoteKeySet, Signer
from tests.simulators.clock import ManualClock, advancing
from tests.simulators.jwks_server import JwksServer, jwks_server


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer.generate("EdDSA")


@pytest.fixture(scope="session")
def rsa_signer() -> Signer:
    return Signer.generate("RS256")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(signer: Signer) -> AsyncIterator[JwksServer]:
    async with jwks_server(signer) as running:
        yield running


@pytest.fixture
async def key_set(server: JwksServer, clock: ManualClock) -> AsyncIterator[RemoteKeySet]:
    """A started key set that has its keys."""
    remote = RemoteKeySet(server.url, clock=clock)
    await remote.start()
    await advancing(clock, lambda: remote.status().state == "fresh")
    yield remote
    await remote.stop()
