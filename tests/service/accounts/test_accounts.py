"""Signing in and registering, with a simulated Better Auth."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from better_auth_keys import Signer
from scripts.proofs.in_process import running
from service.app import create_app
from tests.conftest import DatabaseUrls
from tests.service.accounts.account_requests import (
    LOGIN,
    PASSWORD,
    REGISTRATION,
    SIGNED,
    USER,
    post,
)
from tests.service.conftest import settings_for
from tests.simulators.better_auth_accounts import SIGN_IN, SIGN_UP, TOKEN, AccountsServer
from tests.simulators.issuer_server import Answer, IssuerServer

ISSUER = "http://localhost:3000"


@pytest.mark.usefixtures("well")
async def test_login_gives_a_verified_token_and_what_gets_the_next(
    account_client: httpx.AsyncClient,
) -> None:
    answer = await post(account_client, "login", LOGIN)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    session = answer.json()
    assert session["refresh_token"] == SIGNED
    assert 890 < session["expires_in"] <= 900
    assert session["user"] == {
        "id": "u-1",
        "name": "Ada",
        "email": "ada@example.com",
        "email_verified": True,
    }
    assert (await post(account_client, "register", REGISTRATION)).status_code == 201


@pytest.mark.usefixtures("well")
async def test_better_auth_sees_no_cookie_and_one_address(
    account_client: httpx.AsyncClient, issuer: IssuerServer
) -> None:
    for _ in range(2):
        forged = [
            (b"X-Forwarded-For", b"6.6.6.6"),
            (b"User-Agent", b"curl\xe9\x7f"),
            (b"Cookie", b"a=b"),
        ]
        answer = await account_client.post("/api/auth/login", json=LOGIN, headers=forged)
        assert answer.status_code == 200
        assert "set-cookie" not in answer.headers
    for received in issuer.received:
        assert "cookie" not in received.headers
        assert received.headers["x-forwarded-for"] == "127.0.0.1"
        assert received.headers["origin"] == issuer.url
        assert received.headers["user-agent"] == "curl"
    assert [received.path for received in issuer.received] == [SIGN_IN, TOKEN] * 2
    assert issuer.received[0].body == LOGIN
    assert issuer.received[1].headers["authorization"] == f"Bearer {SIGNED}"


async def test_hundred_simultaneous_logins_each_get_their_own_session(
    database: DatabaseUrls, token_of: Callable[..., str], signer: Signer, tmp_path: Path
) -> None:
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    server = AccountsServer(lambda name, sid: token_of(sub=name, sid=sid, iss=ISSUER, aud=ISSUER))
    await server.start()
    settings = settings_for(
        database.app,
        jwks_url=jwks.as_uri(),
        better_auth_url=server.url,
        jwt_issuer=(ISSUER,),
        jwt_audience=(ISSUER,),
    )
    async with running(create_app(settings)) as crowd:

        async def login(number: int) -> None:
            name = f"person-{number}"
            body = {"email": f"{name}@example.com", "password": PASSWORD}
            session = (await post(crowd, "login", body)).json()
            bare = session["refresh_token"].partition(".")[0]
            assert server.sessions[bare][0] == name
            bearer = {"Authorization": f"Bearer {session['access_token']}"}
            assert (await crowd.get("/api/auth/me", headers=bearer)).json()["id"] == name

        await asyncio.gather(*(login(number) for number in range(100)))
    await server.stop()


@pytest.mark.usefixtures("well")
async def test_registration_of_an_unverified_address_returns_no_session(
    account_client: httpx.AsyncClient, issuer: IssuerServer
) -> None:
    issuer.answers[SIGN_UP] = Answer({"token": None, "user": USER})
    answer = await post(account_client, "register", REGISTRATION)
    assert (answer.status_code, list(answer.json())) == (202, ["user"])


@pytest.mark.usefixtures("well")
@pytest.mark.parametrize("wrong", ["another issuer's", "nonsense"])
async def test_token_that_the_service_refuses_is_not_returned(
    wrong: str,
    account_client: httpx.AsyncClient,
    issuer: IssuerServer,
    token_of: Callable[..., str],
) -> None:
    token = token_of(iss="https://evil.example") if wrong == "another issuer's" else wrong
    issuer.answers[TOKEN] = Answer({"token": token})
    answer = await post(account_client, "login", LOGIN)
    assert (answer.status_code, answer.json()["code"]) == (502, "issuer_answer")
    assert token not in answer.text


async def test_token_of_the_second_of_a_revocation_is_fetched_again(
    account_client: httpx.AsyncClient,
    issuer: IssuerServer,
    well: None,
    token_of: Callable[..., str],
) -> None:
    del well
    bearer = {"Authorization": f"Bearer {token_of(sub='u-3')}"}
    stale = token_of(sub="u-3", sid="new")
    assert (await account_client.post("/api/auth/logout", headers=bearer)).status_code == 204
    fresh = token_of(sub="u-3", sid="new", iat=int(time.time()) + 2)
    issuer.answers[TOKEN] = Answer({"token": stale}, then=Answer({"token": fresh}))
    answer = await post(account_client, "login", LOGIN)
    assert (answer.status_code, answer.json()["access_token"]) == (200, fresh)
