"""Signing out: what it requires, its calls to Better Auth, and that it delays no other request."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from better_auth_keys import Signer
from scripts.proofs.in_process import running
from service.app import create_app
from service.security.limit import parse_limit
from service.settings.model import Settings
from tests.conftest import DatabaseUrls
from tests.service.conftest import ORIGIN, settings_for
from tests.simulators.better_auth_accounts import SIGN_OUT, TOKEN, AccountsServer, signed
from tests.simulators.issuer_server import Answer

LOGIN = {"email": "ada@example.com", "password": "correct horse battery"}
BUDGET = 6.0


@pytest.fixture
async def issuer(signer: Signer) -> AsyncIterator[AccountsServer]:
    def jwt_of(name: str, session_id: str) -> str:
        now = int(time.time())
        claims = {"sub": name, "sid": session_id, "iat": now, "exp": now + 900}
        return signer.mint({"iss": ORIGIN, "aud": ORIGIN, **claims})

    server = AccountsServer(jwt_of)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def wired(
    issuer: AccountsServer, database: DatabaseUrls, signer: Signer, tmp_path: Path
) -> Settings:
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    return settings_for(
        database.app,
        jwks_url=jwks.as_uri(),
        better_auth_url=issuer.url,
        jwt_issuer=(ORIGIN,),
        jwt_audience=(ORIGIN,),
        request_seconds=BUDGET,
    )


@pytest.fixture
async def client(wired: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running(create_app(wired)) as running_client:
        yield running_client


async def log_in(client: httpx.AsyncClient) -> tuple[dict[str, str], str]:
    """Return the headers with the access token, and the refresh token."""
    session = (await client.post("/api/auth/login", json=LOGIN)).json()
    return {"Authorization": f"Bearer {session['access_token']}"}, session["refresh_token"]


async def refresh(client: httpx.AsyncClient, token: str) -> int:
    answer = await client.post("/api/auth/refresh", json={"refresh_token": token})
    return answer.status_code


async def test_signed_token_is_taken_as_the_header_or_the_cookie_has_it(
    client: httpx.AsyncClient,
) -> None:
    _, token = await log_in(client)
    assert await refresh(client, token) == 200
    assert await refresh(client, quote(token, safe="")) == 200


UNSIGNED: dict[str, Callable[[str], str]] = {
    "the bare token": lambda token: token.partition(".")[0],
    "half a signature": lambda token: token[:-10],
    "no padding": lambda token: token.rstrip("="),
    "two signatures": lambda token: token + "." + token.partition(".")[2],
    "a header within": lambda token: token.replace(".", ".\tX-A:"),
    "a JWT": lambda _: "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl",
    "nonsense": lambda _: "x",
}


@pytest.mark.parametrize("case", UNSIGNED)
@pytest.mark.parametrize("path", ["refresh", "logout"])
async def test_unsigned_token_is_401_and_never_reaches_better_auth(
    case: str, path: str, client: httpx.AsyncClient, issuer: AccountsServer
) -> None:
    _, token = await log_in(client)
    asked = len(issuer.received)
    unsigned = UNSIGNED[case](token)
    answer = await client.post(f"/api/auth/{path}", json={"refresh_token": unsigned})
    malformed = "\t" in unsigned
    assert answer.status_code == (422 if malformed else 401)
    assert malformed or answer.json()["code"] == "invalid_refresh_token"
    assert len(issuer.received) == asked
    assert await refresh(client, token) == 200, "the session lives on"


async def test_token_with_another_signature_is_401(client: httpx.AsyncClient) -> None:
    _, token = await log_in(client)
    bare = token.partition(".")[0]
    assert await refresh(client, f"{bare}.{'A' * 43}=") == 401


@pytest.mark.parametrize(
    ("sends_access_token", "sends_refresh_token", "asked"),
    [(True, False, []), (True, True, [SIGN_OUT]), (False, True, [TOKEN, SIGN_OUT])],
)
async def test_logout_asks_better_auth_no_more_often_than_it_must(
    client: httpx.AsyncClient,
    issuer: AccountsServer,
    sends_access_token: bool,  # noqa: FBT001 - a row of the table above
    sends_refresh_token: bool,  # noqa: FBT001 - the same
    asked: list[str],
) -> None:
    access, token = await log_in(client)
    issuer.received.clear()
    answer = await client.post(
        "/api/auth/logout",
        headers=access if sends_access_token else {},
        json={"refresh_token": token} if sends_refresh_token else {},
    )
    assert answer.status_code == 204
    assert [received.path for received in issuer.received] == asked
    assert (await client.get("/api/auth/me", headers=access)).status_code == 401
    assert await refresh(client, token) == 401
    assert (len(issuer.sessions) == 0) == sends_refresh_token


async def test_expired_access_token_leaves_the_work_to_the_refresh_token(
    client: httpx.AsyncClient, issuer: AccountsServer, signer: Signer
) -> None:
    access, token = await log_in(client)
    now = int(time.time())
    claims = {"iss": ORIGIN, "aud": ORIGIN, "sub": "ada", "iat": now - 900, "exp": now - 300}
    expired = {"Authorization": f"Bearer {signer.mint(claims)}"}
    body = {"refresh_token": token}
    answer = await client.post("/api/auth/logout", headers=expired, json=body)
    assert answer.status_code == 204
    assert issuer.sessions == {}
    assert (await client.get("/api/auth/me", headers=access)).status_code == 401


async def test_logout_is_limited_by_address(wired: Settings) -> None:
    limited = wired.model_copy(
        update={"rate_limits": {**wired.rate_limits, "logout": parse_limit("2/minute")}}
    )
    async with running(create_app(limited)) as client:
        answers = [await client.post("/api/auth/logout", json={}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]
        assert int(answers[-1].headers["Retry-After"]) >= 1
        assert (await client.post("/api/auth/login", json=LOGIN)).status_code == 200


async def test_slow_logouts_delay_no_login(
    client: httpx.AsyncClient, issuer: AccountsServer
) -> None:
    issuer.answers[SIGN_OUT] = Answer(hang=True)

    async def slow_logout(number: int) -> int:
        body = {"refresh_token": signed(f"{number:032}")}
        return (await client.post("/api/auth/logout", json=body)).status_code

    def hanging() -> int:
        return sum(received.path == SIGN_OUT for received in issuer.received)

    slow = [asyncio.create_task(slow_logout(number)) for number in range(120)]
    async with asyncio.timeout(BUDGET):
        while hanging() < 12:  # noqa: ASYNC110 - the event happens in another process
            await asyncio.sleep(0.005)
    began = time.monotonic()
    answer = await client.post("/api/auth/login", json=LOGIN)
    took = time.monotonic() - began
    assert answer.status_code == 200
    assert took < BUDGET / 2
    assert hanging() == 12
    assert set(await asyncio.gather(*slow)) == {503}
