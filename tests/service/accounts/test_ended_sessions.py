"""Signing out: the session ends at Better Auth, and its tokens are refused."""

import time
from collections.abc import Callable

import httpx
import pytest

from tests.service.accounts.account_requests import LOGIN, post
from tests.simulators.better_auth_accounts import SIGN_OUT
from tests.simulators.issuer_server import IssuerServer


@pytest.mark.usefixtures("well")
async def test_logout_ends_the_session_there_and_its_tokens_here(
    account_client: httpx.AsyncClient, issuer: IssuerServer
) -> None:
    session = (await post(account_client, "login", LOGIN)).json()
    bearer = {"Authorization": f"Bearer {session['access_token']}"}
    assert (await account_client.get("/api/auth/me", headers=bearer)).status_code == 200
    body = {"refresh_token": session["refresh_token"]}
    assert (await post(account_client, "logout", body)).status_code == 204
    assert issuer.received[-1].path == SIGN_OUT
    assert (await account_client.get("/api/auth/me", headers=bearer)).status_code == 401
    # A new token of that session is refused as well.
    answer = await post(account_client, "refresh", body)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_refresh_token")


async def test_logout_without_a_session_revokes_all_tokens_of_the_subject(
    account_client: httpx.AsyncClient, token_of: Callable[..., str]
) -> None:
    now = int(time.time())
    older = token_of(sub="u-2", iat=now - 60)
    bearer = {"Authorization": f"Bearer {token_of(sub='u-2', iat=now - 30)}"}
    assert (await account_client.post("/api/auth/logout", headers=bearer)).status_code == 204
    for token in (older, bearer["Authorization"].removeprefix("Bearer ")):
        refused = await account_client.get(
            "/api/auth/me", headers={"Authorization": f"Bearer {token}"}
        )
        assert refused.status_code == 401
    later = {"Authorization": f"Bearer {token_of(sub='u-2', iat=int(time.time()) + 2)}"}
    assert (await account_client.get("/api/auth/me", headers=later)).status_code == 200


async def test_logout_without_anything_to_end_is_401(account_client: httpx.AsyncClient) -> None:
    for answer in (
        await account_client.post("/api/auth/logout"),
        await post(account_client, "logout", {}),
        await account_client.post("/api/auth/logout", headers={"Authorization": "Bearer nonsense"}),
    ):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
