from collections.abc import AsyncIterator

import pytest

from better_auth_keys import RemoteKeySet, Signer
from better_auth_keys.testing import HttpIssuer
from tests.simulators.clock import ManualClock, advancing


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
async def server(signer: Signer) -> AsyncIterator[HttpIssuer]:
    async with HttpIssuer(signer) as running:
        yield running


@pytest.fixture
async def key_set(server: HttpIssuer, clock: ManualClock) -> AsyncIterator[RemoteKeySet]:
    """A started key set that has its keys."""
    remote = RemoteKeySet(server.jwks_url, clock=clock)
    await remote.start()
    await advancing(clock, lambda: remote.status().state == "fresh")
    yield remote
    await remote.stop()
