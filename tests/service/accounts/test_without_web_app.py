"""The account endpoints of a service without the web app."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from better_auth_keys import Signer
from scripts.proofs.in_process import running
from service.app import create_app
from tests.conftest import DatabaseUrls
from tests.service.accounts.account_requests import LOGIN, REGISTRATION, post
from tests.service.conftest import rates, settings_for
from tests.simulators.issuer_server import IssuerServer


@pytest.fixture
async def without_accounts(
    issuer: IssuerServer, database: DatabaseUrls, signer: Signer, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """A service as `./scripts/dev --api` runs it: keys from a file and no web app."""
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    settings = settings_for(
        database.app,
        jwks_url=jwks.as_uri(),
        better_auth_url=issuer.url,
        account_api=False,
        rate_limits=rates(login="1/minute"),
    )
    async with running(create_app(settings)) as running_client:
        yield running_client


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("register", REGISTRATION),
        ("login", LOGIN),
        ("login", {}),
        ("refresh", {"refresh_token": "session-1"}),
        ("logout", {"refresh_token": "session-1"}),
    ],
)
async def test_accounts_without_the_web_app_are_501_and_better_auth_is_not_called(
    without_accounts: httpx.AsyncClient, issuer: IssuerServer, path: str, body: object
) -> None:
    for _ in range(2):  # not counted: trying again is not an attack
        answer = await post(without_accounts, path, body)
        assert (answer.status_code, answer.json()["code"]) == (501, "accounts_unsupported")
        assert "web app" in answer.json()["detail"]
        assert "Retry-After" not in answer.headers
    assert issuer.received == []


async def test_logout_with_an_access_token_alone_works_without_the_web_app(
    without_accounts: httpx.AsyncClient, token_of: Callable[..., str]
) -> None:
    bearer = {"Authorization": f"Bearer {token_of(sid=f's-{uuid4()}')}"}
    assert (await without_accounts.get("/api/auth/me", headers=bearer)).status_code == 200
    assert (await without_accounts.post("/api/auth/logout", headers=bearer)).status_code == 204
    assert (await without_accounts.get("/api/auth/me", headers=bearer)).status_code == 401
