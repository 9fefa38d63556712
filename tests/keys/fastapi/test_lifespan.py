"""`BetterAuth` with a URL: its keys, its audience, and each kind of lifespan."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI

from better_auth_keys import AccessTokenVerifier, Signer
from better_auth_keys.fastapi import BetterAuth, User
from better_auth_keys.testing import HttpIssuer
from scripts.proofs.in_process import running
from tests.keys.fastapi.conftest import Mint, app_of, asking, bearer
from tests.keys.oauth_tokens import ACCESS, oauth_claims
from tests.keys.signed_tokens import ORIGIN, claims


async def test_row42_three_lines_fetch_the_keys_and_survive_an_outage(
    server: HttpIssuer, headers_of: Mint
) -> None:
    origin = server.origin
    ours = {"iss": origin, "aud": origin}
    async with running(app_of(BetterAuth(origin))) as client:
        good = headers_of(**ours)
        assert (await client.get("/me", headers=good)).json() == "alice"
        await server.stop()
        assert (await client.get("/me", headers=headers_of(sub="bob", **ours))).json() == "bob"
        unknown = Signer.generate().mint(claims(iat=0, exp=1, **ours))
        assert (await client.get("/me", headers=bearer(unknown))).status_code == 401, "expired"
        now = int(time.time())
        unknown = Signer.generate().mint(claims(iat=now, exp=now + 60, **ours))
        answer = await client.get("/me", headers=bearer(unknown))
        assert answer.status_code == 503, "unknown is not invalid"
        assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("base_path", ["/auth", "/auth/", ""])
async def test_keys_are_fetched_below_the_base_path(
    server: HttpIssuer, headers_of: Mint, base_path: str
) -> None:
    origin = server.origin
    server.base_path = "/auth" if base_path else ""
    async with running(app_of(BetterAuth(f"{origin}/", base_path=base_path))) as client:
        headers = headers_of(iss=origin, aud=origin)
        assert (await client.get("/me", headers=headers)).status_code == 200
    expected = "/auth/jwks" if base_path else "/jwks"
    assert {request.path for request in server.requests} == {expected}


async def test_lifespan_of_your_own_starts_it(server: HttpIssuer, headers_of: Mint) -> None:
    origin = server.origin
    auth = BetterAuth(origin)
    started: list[BetterAuth[User]] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with auth as entered:
            async with auth:  # another app that shares it, and stops first
                pass
            started.append(entered)
            yield

    app = app_of(auth)
    app.router.lifespan_context = lifespan
    headers = headers_of(iss=origin, aud=origin)
    async with running(app) as client:
        assert started == [auth]
        assert (await client.get("/me", headers=headers)).json() == "alice"
    async with asking(app) as client:
        assert (await client.get("/me", headers=headers)).status_code == 500


async def test_app_whose_lifespan_did_not_run_gets_an_error_that_says_so() -> None:
    async with asking(app_of(BetterAuth(ORIGIN)), raising=True) as client:
        with pytest.raises(RuntimeError, match=r"FastAPI\(lifespan=auth\.lifespan\)"):
            await client.get("/me", headers=bearer("a.b.c"))


@pytest.mark.parametrize("audience", ["https://api.example.com", ["x", "https://api.example.com"]])
async def test_audience_of_your_own_replaces_the_origin(
    server: HttpIssuer, headers_of: Mint, audience: str | list[str]
) -> None:
    origin = server.origin
    async with running(app_of(BetterAuth(origin, audience=audience))) as app:
        good = headers_of(iss=origin, aud="https://api.example.com")
        assert (await app.get("/me", headers=good)).status_code == 200
        bad = headers_of(iss=origin, aud=origin)
        assert (await app.get("/me", headers=bad)).status_code == 401


def test_settings_that_cannot_work_are_refused(verifier: AccessTokenVerifier) -> None:
    with pytest.raises(ValueError, match="https"):
        BetterAuth("http://app.example.com")
    with pytest.raises(TypeError, match="belong to a URL"):
        BetterAuth(verifier, audience="x")
    with pytest.raises(TypeError, match="belong to a URL"):
        BetterAuth(verifier, base_path="/auth")
    with pytest.raises(TypeError, match="belong to a URL"):
        BetterAuth(verifier, oauth=True)


async def test_oauth_tokens_are_accepted_only_if_asked_for_and_name_the_same_user(
    server: HttpIssuer, signer: Signer, headers_of: Mint
) -> None:
    origin = server.origin
    now = int(time.time())
    changes = {"iss": f"{origin}/api/auth", "aud": origin, "iat": now, "exp": now + 60}
    headers = bearer(signer.mint(oauth_claims(scope="tasks:read", **changes), header=ACCESS))
    async with running(app_of(BetterAuth(origin))) as client:
        assert (await client.get("/me", headers=headers)).status_code == 401
    auth = BetterAuth(origin, oauth=True)
    app = app_of(auth)
    app.include_router(auth.metadata_router("https://api.example.com", scopes=["tasks:read"]))

    @app.get("/identity")
    async def identity(user: Annotated[User, Depends(auth.user)]) -> tuple[str, str]:
        return user.issuer, user.id

    @app.get("/write")
    async def write(user: Annotated[User, Depends(auth.require("tasks:write"))]) -> str:
        return user.id

    session = headers_of(iss=origin, aud=origin)
    async with running(app) as client:
        assert (await client.get("/identity", headers=headers)).json() == [origin, "alice"]
        assert (await client.get("/identity", headers=session)).json() == [origin, "alice"]
        assert (await client.get("/write", headers=headers)).status_code == 403
        assert (await client.get("/write", headers=session)).status_code == 200
        metadata = (await client.get("/.well-known/oauth-protected-resource")).json()
    assert metadata["authorization_servers"] == [f"{origin}/api/auth"]


async def test_neon_has_its_own_lifespan_and_refuses_a_banned_user_with_403(
    server: HttpIssuer, headers_of: Mint
) -> None:
    origin = server.origin
    server.elsewhere["/neondb/auth/.well-known/jwks.json"] = server.reply
    ours = {"iss": origin, "aud": origin}
    auth = BetterAuth.neon(f"{origin}/neondb/auth")
    async with asking(app_of(auth), raising=True) as client:
        with pytest.raises(RuntimeError, match="has not been started"):
            await client.get("/me", headers=headers_of(**ours))
    async with running(app_of(auth)) as client:
        assert (await client.get("/me", headers=headers_of(**ours))).json() == "alice"
        refused = await client.get("/me", headers=headers_of(banned=True, **ours))
        assert (refused.status_code, refused.json()["detail"]) == (403, "This account is banned.")
