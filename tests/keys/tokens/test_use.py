"""The use that the docstring of `better_auth_keys` shows, run: an app without `service/`."""

import textwrap
import time
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

import better_auth_keys
from better_auth_keys import Signer
from better_auth_keys.origins import origin_of
from scripts.proofs.in_process import running
from tests.simulators.jwks_server import jwks_server


def example(origin: str) -> FastAPI:
    """Take the indented example out of the docstring and run it for the issuer at `origin`."""
    lines = (better_auth_keys.__doc__ or "").splitlines()
    code = textwrap.dedent("\n".join(line for line in lines if not line or line[0] == " "))
    names: dict[str, Any] = {
        "Annotated": Annotated,
        "AccessToken": better_auth_keys.AccessToken,
        "AccessTokenVerifier": better_auth_keys.AccessTokenVerifier,
        "InvalidTokenError": better_auth_keys.InvalidTokenError,
        "KeySetUnavailableError": better_auth_keys.KeySetUnavailableError,
        "Depends": Depends,
        "FastAPI": FastAPI,
        "HTTPException": HTTPException,
        "HTTPBearer": HTTPBearer,
        "Bearer": HTTPAuthorizationCredentials,
    }
    exec(code.replace("https://app.example.com", origin), names)  # noqa: S102 - it is our own
    app = names["app"]
    assert isinstance(app, FastAPI)
    return app


def bearer(token: str) -> httpx.Headers:
    return httpx.Headers({"Authorization": f"Bearer {token}"})


async def test_example_in_the_docstring_works(signer: Signer) -> None:
    async with jwks_server(signer) as server:
        origin = origin_of(server.url)
        now = int(time.time())
        claims = {"iss": origin, "aud": origin, "sub": "alice", "iat": now, "exp": now + 60}
        async with running(example(origin)) as client:
            good = await client.get("/me", headers=bearer(signer.mint(claims)))
            assert (good.status_code, good.json()) == (200, "alice")
            bad = await client.get("/me", headers=bearer(signer.mint({**claims, "sub": ""})))
            assert bad.status_code == 401
            await server.stop()
            unknown = Signer.generate().mint(claims)
            undecided = await client.get("/me", headers=bearer(unknown))
            assert undecided.status_code == 503
            assert int(undecided.headers["Retry-After"]) >= 1
