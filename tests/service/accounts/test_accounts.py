"""The account endpoints with a simulated Better Auth."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from better_auth_keys import Signer
from scripts.proofs.in_process import running
from service.app import create_app
from tests.conftest import DatabaseUrls
from tests.service.conftest import rates, settings_for
from tests.simulators.better_auth_accounts import (
    SIGN_IN,
    SIGN_OUT,
    SIGN_UP,
    TOKEN,
    AccountsServer,
    signed,
    signed_in,
)
from tests.simulators.issuer_server import Answer, IssuerServer, issuer_server

USER = {
    "id": "u-1",
    "name": "Ada",
    "email": "ada@example.com",
    "emailVerified": True,
    "image": None,
}
ISSUER = "http://localhost:3000"
PASSWORD = "correct horse battery"
BARE = "06yKJpJtZvDsweGMxIfZ6CxJH4EWypyX"
SIGNED = signed(BARE)
LOGIN = {"email": "ada@example.com", "password": PASSWORD}
REGISTRATION = {**LOGIN, "name": "Ada"}


@pytest.fixture
async def issuer() -> AsyncIterator[IssuerServer]:
    async with issuer_server() as running_issuer:
        yield running_issuer


@pytest.fixture
async def client(
    issuer: IssuerServer, database: DatabaseUrls, signer: Signer, tmp_path: Path
) -> AsyncIterator[httpx.AsyncClient]:
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
    def token(**changes: object) -> str:
        now = int(time.time())
        claims = {"iss": issuer.url, "aud": issuer.url, "sub": "u-1", "iat": now, "exp": now + 900}
        return signer.mint({**claims, **changes})

    return token


@pytest.fixture
def well(issuer: IssuerServer, token_of: Callable[..., str]) -> None:
    """Let the issuer answer as Better Auth does."""
    issuer.answers = {
        SIGN_UP: signed_in(USER, BARE),
        SIGN_IN: signed_in(USER, BARE),
        TOKEN: Answer({"token": token_of(sid="s-1")}),
        SIGN_OUT: Answer({"success": True}),
    }


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


def post(
    client: httpx.AsyncClient, path: str, body: object, **headers: str
) -> Awaitable[httpx.Response]:
    return client.post(f"/api/auth/{path}", json=body, headers=headers)


@pytest.mark.usefixtures("well")
async def test_login_gives_a_verified_token_and_what_gets_the_next(
    client: httpx.AsyncClient,
) -> None:
    answer = await post(client, "login", LOGIN)
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
    assert (await post(client, "register", REGISTRATION)).status_code == 201


@pytest.mark.usefixtures("well")
async def test_better_auth_sees_no_cookie_and_one_address(
    client: httpx.AsyncClient, issuer: IssuerServer
) -> None:
    for _ in range(2):
        forged = [
            (b"X-Forwarded-For", b"6.6.6.6"),
            (b"User-Agent", b"curl\xe9\x7f"),
            (b"Cookie", b"a=b"),
        ]
        answer = await client.post("/api/auth/login", json=LOGIN, headers=forged)
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


async def test_hundred_people_log_in_at_once_and_nobody_gets_anothers_session(
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
async def test_address_that_has_to_be_verified_makes_an_account_without_a_session(
    client: httpx.AsyncClient, issuer: IssuerServer
) -> None:
    issuer.answers[SIGN_UP] = Answer({"token": None, "user": USER})
    answer = await post(client, "register", REGISTRATION)
    assert (answer.status_code, list(answer.json())) == (202, ["user"])


ERRORS: dict[str, tuple[str, Answer, int, str]] = {
    "duplicate": (
        "register",
        Answer({"code": "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL", "message": "x"}, 422),
        409,
        "account_exists",
    ),
    "weak password": (
        "register",
        Answer({"code": "PASSWORD_TOO_SHORT", "message": "x"}, 400),
        422,
        "validation_failed",
    ),
    "input that it does not take": (
        "register",
        Answer({"code": "VALIDATION_ERROR", "message": "[body.email] ada@ is bad"}, 400),
        422,
        "validation_failed",
    ),
    "wrong credentials": (
        "login",
        Answer({"code": "INVALID_EMAIL_OR_PASSWORD", "message": "x"}, 401),
        401,
        "invalid_credentials",
    ),
    "unverified": ("login", Answer({"code": "EMAIL_NOT_VERIFIED"}, 403), 403, "email_not_verified"),
    "its own limit": (
        "login",
        Answer({"message": "x"}, 429, {"X-Retry-After": "7"}),
        429,
        "rate_limited",
    ),
    "an error of its own": ("login", Answer("oops", 500), 503, "issuer_unavailable"),
    "a redirect": ("login", Answer({}, 302, {"Location": "/x"}), 502, "issuer_answer"),
    "a page": ("login", Answer(raw=b"<!doctype html>"), 502, "issuer_answer"),
    "a list": ("login", Answer([1]), 502, "issuer_answer"),
    "no user": ("login", Answer({"token": "x"}), 502, "issuer_answer"),
    "no signed token": ("login", Answer({"token": BARE, "user": USER}), 502, "issuer_answer"),
    "a user of another form": ("login", Answer({"token": 1, "user": []}), 502, "issuer_answer"),
    "an endless page": ("login", Answer(raw=b"[" * 100_000), 502, "issuer_answer"),
    "not a word": ("login", Answer(hang=True), 503, "issuer_unavailable"),
    "half an answer": (
        "login",
        Answer(raw=b"{}", headers={"Content-Length": "9"}),
        503,
        "issuer_unavailable",
    ),
}


@pytest.mark.usefixtures("well")
@pytest.mark.parametrize("case", ERRORS)
async def test_fault63_what_better_auth_says_is_answered_with_the_right_problem(
    case: str,
    client: httpx.AsyncClient,
    issuer: IssuerServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path, said, status, code = ERRORS[case]
    issuer.answers[SIGN_UP if path == "register" else SIGN_IN] = said
    began = time.monotonic()
    answer = await post(client, path, REGISTRATION if path == "register" else LOGIN)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert time.monotonic() - began < 2
    assert ("Retry-After" in answer.headers) == (status in {429, 503})
    assert status != 429 or answer.headers["Retry-After"] == "7"
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    for secret in (PASSWORD, "ada@", BARE):
        assert secret not in answer.text + caplog.text


async def test_fault63_better_auth_that_is_gone_is_503(
    client: httpx.AsyncClient, issuer: IssuerServer
) -> None:
    await issuer.stop()
    answers = await asyncio.gather(*(post(client, "login", LOGIN) for _ in range(50)))
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {
        (503, "issuer_unavailable")
    }
    assert (await client.get("/livez")).status_code == 200


@pytest.mark.usefixtures("well")
@pytest.mark.parametrize("wrong", ["another issuer's", "nonsense"])
async def test_token_that_we_refuse_is_not_handed_out(
    wrong: str, client: httpx.AsyncClient, issuer: IssuerServer, token_of: Callable[..., str]
) -> None:
    token = token_of(iss="https://evil.example") if wrong == "another issuer's" else wrong
    issuer.answers[TOKEN] = Answer({"token": token})
    answer = await post(client, "login", LOGIN)
    assert (answer.status_code, answer.json()["code"]) == (502, "issuer_answer")
    assert token not in answer.text


@pytest.mark.usefixtures("well")
async def test_logout_ends_the_session_there_and_its_tokens_here(
    client: httpx.AsyncClient, issuer: IssuerServer
) -> None:
    session = (await post(client, "login", LOGIN)).json()
    bearer = {"Authorization": f"Bearer {session['access_token']}"}
    assert (await client.get("/api/auth/me", headers=bearer)).status_code == 200
    body = {"refresh_token": session["refresh_token"]}
    assert (await post(client, "logout", body)).status_code == 204
    assert issuer.received[-1].path == SIGN_OUT
    assert (await client.get("/api/auth/me", headers=bearer)).status_code == 401
    # A new token of that session is refused as well.
    answer = await post(client, "refresh", body)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_refresh_token")


async def test_token_without_a_session_takes_its_subjects_tokens_along(
    client: httpx.AsyncClient, token_of: Callable[..., str]
) -> None:
    now = int(time.time())
    older = token_of(sub="u-2", iat=now - 60)
    bearer = {"Authorization": f"Bearer {token_of(sub='u-2', iat=now - 30)}"}
    assert (await client.post("/api/auth/logout", headers=bearer)).status_code == 204
    for token in (older, bearer["Authorization"].removeprefix("Bearer ")):
        refused = await client.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"})
        assert refused.status_code == 401
    later = {"Authorization": f"Bearer {token_of(sub='u-2', iat=int(time.time()) + 2)}"}
    assert (await client.get("/api/auth/me", headers=later)).status_code == 200


async def test_token_of_the_second_of_a_cut_off_is_fetched_again(
    client: httpx.AsyncClient, issuer: IssuerServer, well: None, token_of: Callable[..., str]
) -> None:
    del well
    bearer = {"Authorization": f"Bearer {token_of(sub='u-3')}"}
    stale = token_of(sub="u-3", sid="new")
    assert (await client.post("/api/auth/logout", headers=bearer)).status_code == 204
    fresh = token_of(sub="u-3", sid="new", iat=int(time.time()) + 2)
    issuer.answers[TOKEN] = Answer({"token": stale}, then=Answer({"token": fresh}))
    answer = await post(client, "login", LOGIN)
    assert (answer.status_code, answer.json()["access_token"]) == (200, fresh)


async def test_logout_without_anything_to_end_is_401(client: httpx.AsyncClient) -> None:
    for answer in (
        await client.post("/api/auth/logout"),
        await post(client, "logout", {}),
        await client.post("/api/auth/logout", headers={"Authorization": "Bearer nonsense"}),
    ):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


BAD_BODIES: dict[str, tuple[str, object, int]] = {
    "no password": ("login", {"email": "a@b"}, 422),
    "a number": ("login", {"email": "a@b", "password": 1}, 422),
    "more than asked for": ("login", {**LOGIN, "admin": True}, 422),
    "an endless password": ("login", {**LOGIN, "password": "x" * 2000}, 422),
    "a name of spaces": ("register", {**REGISTRATION, "name": "   "}, 422),
    "a line break in the address": ("register", {**REGISTRATION, "email": "a@b\nc"}, 422),
    "a refresh token of two lines": ("refresh", {"refresh_token": "a\nb"}, 422),
    "a list": ("refresh", [], 422),
}


@pytest.mark.parametrize("case", BAD_BODIES)
async def test_bad_body_is_a_problem_that_repeats_nothing(
    case: str, client: httpx.AsyncClient, issuer: IssuerServer
) -> None:
    path, body, status = BAD_BODIES[case]
    answer = await post(client, path, body)
    assert (answer.status_code, PASSWORD in answer.text) == (status, False)
    assert issuer.received == []


async def test_body_that_is_no_json_is_refused_before_anybody_is_asked(
    client: httpx.AsyncClient, issuer: IssuerServer
) -> None:
    sent = {"content": b'{"email": 1, "email": 2}', "headers": {"Content-Type": "application/json"}}
    assert (await client.post("/api/auth/login", **sent)).status_code == 400  # type: ignore[arg-type] # a bundle
    text = await client.post("/api/auth/login", content=b"a=b")
    assert text.status_code == 415
    assert issuer.received == []


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
async def test_accounts_without_the_web_app_are_501_and_nobody_is_asked(
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
