"""An issuer with one key, and an app that trusts it; nothing here makes requests over a network."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.types import ASGIApp

from better_auth_keys import AccessTokenVerifier, Signer, StaticKeySet, parse_jwk
from tests.keys.signed_tokens import POLICY, claims

Mint = Callable[..., httpx.Headers]


def bearer(token: str) -> httpx.Headers:
    return httpx.Headers({"Authorization": f"Bearer {token}"})


@pytest.fixture
def verifier(signer: Signer) -> AccessTokenVerifier:
    keys = StaticKeySet([parse_jwk(signer.public_jwk(), POLICY.algorithms)])
    return AccessTokenVerifier(keys, POLICY)


@pytest.fixture
def headers_of(signer: Signer) -> Mint:
    """Return the headers of a user's request: a good token, with changes of its claims."""

    def mint(**changes: object) -> httpx.Headers:
        now = int(time.time())
        return bearer(signer.mint(claims(**{"iat": now, "exp": now + 60, **changes})))

    return mint


@asynccontextmanager
async def asking(app: ASGIApp, *, raising: bool = False) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of an app whose lifespan does not run.

    Unexpected errors are responses with status 500, or are raised with `raising`.
    """
    transport = httpx.ASGITransport(app, raise_app_exceptions=raising)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        yield client
