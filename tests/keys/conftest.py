from collections.abc import AsyncIterator

import pytest

from keys import Signer
from tests.simulators.clock import ManualClock
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
