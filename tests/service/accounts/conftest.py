"""The account endpoints with a simulated Better Auth."""

import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from better_auth_keys import Signer
from scripts.proofs.in_process import running
from service.app import create_app
from tests.conftest import DatabaseUrls
from tests.service.accounts.account_requests import BARE, USER
from tests.service.conftest import settings_for
from tests.simulators.better_auth_accounts import SIGN_IN, SIGN_OUT, SIGN_UP, TOKEN, signed_in
from tests.simulators.issuer_server import Answer, IssuerServer, issuer_server


@pytest.fixture
async def issuer() -> AsyncIterator[IssuerServer]:
    """A simulated Better Auth, without any answers yet."""
    async with issuer_server() as running_issuer:
        yield running_issuer


@pytest.fixture
async def account_client(
    issuer: IssuerServer, database: DatabaseUrls, signer: Signer, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
    """A service that calls `issuer`, and trusts a key from a file."""
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    settings = settings_for(
        database.app,
        jwks_url=jwks.as_uri(),
        better_auth_url=issuer.url,
        request_seconds=0.5,
    )
    async with running(create_app(settings)) as running_client:
        yield running_client


@pytest.fixture
def token_of(issuer: IssuerServer, signer: Signer) -> Callable[..., str]:
    """Return an access token of `issuer`; the arguments change its claims."""

    def token(**changes: object) -> str:
        now = int(time.time())
        claims = {"iss": issuer.url, "aud": issuer.url, "sub": "u-1", "iat": now, "exp": now + 900}
        return signer.mint({**claims, **changes})

    return token


@pytest.fixture
def well(issuer: IssuerServer, token_of: Callable[..., str]) -> None:
    """Make the issuer answer as Better Auth does."""
    issuer.answers = {
        SIGN_UP: signed_in(USER, BARE),
        SIGN_IN: signed_in(USER, BARE),
        TOKEN: Answer({"token": token_of(sid="s-1")}),
        SIGN_OUT: Answer({"success": True}),
    }
