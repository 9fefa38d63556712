"""`KEY_CACHE`: a process that starts while Better Auth is down knows its keys."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from better_auth_keys import Signer
from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from better_auth_keys.rotation.better_auth.store import BetterAuthSigningKeys
from better_auth_keys.testing import HttpIssuer
from scripts.proofs.in_process import running
from service.app import create_app
from tests.conftest import DatabaseUrls
from tests.service.conftest import Person, settings_for
from tests.simulators.jwks_table import SECRET, reach

ME = "/api/auth/me"


@pytest.fixture
async def server(signer: Signer) -> AsyncIterator[HttpIssuer]:
    async with HttpIssuer(signer) as running_server:
        yield running_server


async def test_fault81_process_that_starts_in_an_outage_accepts_good_tokens_but_no_revoked_key(
    issuer_database: DatabaseUrls,
    server: HttpIssuer,
    signer: Signer,
    headers_of: Person,
    tmp_path: Path,
) -> None:
    settings = settings_for(issuer_database.app, jwks_url=server.jwks_url, key_cache=tmp_path)
    async with running(create_app(settings)) as client:
        assert (await client.get(ME, headers=headers_of("ada"))).status_code == 200
    await server.stop()
    async with running(create_app(settings)) as client:
        assert (await client.get(ME, headers=headers_of("bob"))).status_code == 200
        assert (await client.get("/readyz")).status_code == 200
    store = BetterAuthSigningKeys(
        reach(issuer_database.auth),
        secrets=IssuerSecrets(SECRET),
        algorithm="EdDSA",
        operator="tests",
    )
    async with store.changing("a test") as transaction:
        await transaction.revoke(signer.kid)
    async with running(create_app(settings)) as client:
        assert (await client.get(ME, headers=headers_of("eve"))).status_code == 401
    elsewhere = settings.model_copy(update={"jwt_issuer": ("https://other.example.com",)})
    async with running(create_app(elsewhere)) as client:
        assert (await client.get("/readyz")).status_code == 503
