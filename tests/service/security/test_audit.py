"""The security log: what is written and what never is."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from better_auth_keys import Signer
from scripts.proofs.in_process import running
from service.app import create_app
from service.security.audit import MAX_A_SECOND, Event, NotFoundWatch, SecurityLog, claimed
from tests.conftest import DatabaseUrls
from tests.service.conftest import rates, settings_for
from tests.simulators.better_auth_accounts import SIGN_IN, SIGN_UP, signed_in
from tests.simulators.issuer_server import Answer, IssuerServer, issuer_server

PASSWORD = "hunter2-hunter2"
EMAIL = "ada.lovelace@example.com"
SESSION = "0123456789sessiontoken0123456789"
SERVICE_SECRET = "0123456789abcdef0123456789abcdef"
LOGIN = {"email": EMAIL, "password": PASSWORD}
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
async def issuer() -> AsyncIterator[IssuerServer]:
    async with issuer_server() as running_issuer:
        yield running_issuer


@pytest.fixture
def token_of(issuer: IssuerServer, signer: Signer) -> Callable[..., str]:
    def token(**changes: object) -> str:
        now = int(time.time())
        claims = {"iss": issuer.url, "aud": issuer.url, "sub": "u-1", "iat": now, "exp": now + 900}
        return signer.mint({**claims, "email": EMAIL, **changes})

    return token


@pytest.fixture
async def client(
    request: pytest.FixtureRequest,
    issuer: IssuerServer,
    database: DatabaseUrls,
    signer: Signer,
    tmp_path: Path,
    token_of: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
) -> AsyncIterator[httpx.AsyncClient]:
    caplog.set_level(logging.DEBUG)
    user = {"id": "u-1", "name": "Ada", "email": EMAIL, "emailVerified": True}
    issuer.answers = {
        SIGN_IN: signed_in(user, SESSION),
        SIGN_UP: signed_in(user, SESSION),
        "/api/auth/token": Answer({"token": token_of(sid=f"s-{uuid4()}")}),
        "/api/auth/sign-out": Answer({"success": True}),
    }
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [signer.public_jwk()]}))
    settings = settings_for(
        database.app,
        jwks_url=jwks.as_uri(),
        better_auth_url=issuer.url,
        rate_limits=rates(account=getattr(request, "param", "3/minute")),
    )
    async with running(create_app(settings)) as running_client:
        yield running_client


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    def read() -> list[dict[str, Any]]:
        records = [*caplog.get_records("setup"), *caplog.records]
        found = [record for record in records if record.name == "security"]
        return [json.loads(record.getMessage()) for record in found]

    return read


async def test_session_from_its_beginning_to_its_end(
    client: httpx.AsyncClient, lines: Lines
) -> None:
    await client.post("/api/auth/register", json={**LOGIN, "name": "Ada"})
    session = (await client.post("/api/auth/login", json=LOGIN)).json()
    refresh = {"refresh_token": session["refresh_token"]}
    await client.post("/api/auth/refresh", json=refresh)
    await client.post("/api/auth/logout", json=refresh)
    bearer = {"Authorization": f"Bearer {session['access_token']}"}
    await client.get("/api/auth/me", headers=bearer)
    found = of_requests(lines())
    assert [line["event"] for line in found] == [
        "user_created",
        "authn_login_success",
        "authn_token_created",
        "session_logout",
        "authn_token_refused",
    ]
    assert len({line["userid"] for line in found[:4]}) == 1
    assert found[-1]["reason"] == "revoked"
    for line in found:
        assert line["source_ip"] == "127.0.0.1"
        assert len(line["request_id"]) == 16
        assert line["datetime"].endswith("+00:00")
        assert line["level"] in {"INFO", "WARNING"}


async def test_start_up_tells_the_settings_and_no_secret(
    client: httpx.AsyncClient, lines: Lines
) -> None:
    assert (await client.get("/livez")).status_code == 200
    start, *_ = [line for line in lines() if line["event"] == "sys_startup"]
    assert "account=3 per 1 minute" in start["settings"]["rate_limits"].split(",")
    assert start["settings"]["database_url"].startswith("postgresql://app:***@")
    assert start["settings"]["service_secret"] == "**********"
    async with asyncio.timeout(10):
        while not (found := key_set_lines(lines)):  # noqa: ASYNC110 - a log has no event to wait for
            await asyncio.sleep(0)
    # Healthy, so there is no warning.
    assert [(line["state"], line["level"]) for line in found] == [("fresh", "INFO")]


async def test_refusals_are_told_with_what_was_claimed(
    client: httpx.AsyncClient, issuer: IssuerServer, lines: Lines, token_of: Callable[..., str]
) -> None:
    stranger = Signer.generate(kid="strange-kid").mint(
        {"iss": "https://evil.example", "sub": EMAIL}
    )
    nasty = Signer.generate(kid=f"{EMAIL} {PASSWORD}").mint({"iss": EMAIL})
    for token in (stranger, nasty, token_of()[:-6] + "AAAAAA", "nonsense"):
        await client.get("/api/tasks", headers={"Authorization": f"Bearer {token}"})
    limited = {"Authorization": f"Bearer {token_of(scope='nothing')}"}
    await client.get("/api/tasks", headers=limited)
    issuer.answers[SIGN_IN] = Answer({"code": "INVALID_EMAIL_OR_PASSWORD"}, 401)
    for _ in range(4):
        await client.post("/api/auth/login", json=LOGIN)
    found = of_requests(lines())
    assert [line["event"] for line in found] == [
        *["authn_token_refused"] * 4,
        "authz_fail",
        *["authn_login_fail"] * 3,
        "excess_rate_limit_exceeded",
    ]
    assert found[0]["unverified_kid"] == "strange-kid"
    assert found[0]["unverified_issuer"] == "https://evil.example"
    assert "unverified_kid" not in found[1]
    assert found[2]["reason"] == "bad_signature"
    assert (found[4]["reason"], len(found[4]["userid"])) == ("insufficient_scope", 24)
    assert found[-1]["limit"] == "account"


async def test_deletion_of_a_users_data_is_told(
    client: httpx.AsyncClient, lines: Lines, token_of: Callable[..., str]
) -> None:
    bearer = {"Authorization": f"Bearer {token_of(sub=f'leaver-{uuid4()}')}"}
    assert (await client.delete("/api/auth/me", headers=bearer)).status_code == 204
    (line,) = of_requests(lines())
    assert (line["event"], line["request_method"]) == ("user_deleted", "DELETE")
    assert (line["source_ip"], len(line["userid"])) == ("127.0.0.1", 24)


async def test_many_404s_of_one_user_are_told_and_not_each(
    client: httpx.AsyncClient, lines: Lines, token_of: Callable[..., str]
) -> None:
    bearer = {"Authorization": f"Bearer {token_of(sub=f'prober-{uuid4()}')}"}
    for _ in range(25):
        assert (await client.get(f"/api/tasks/{uuid4()}", headers=bearer)).status_code == 404
    (line,) = [line for line in lines() if line["event"] == "authz_not_found_rate"]
    assert (line["not_found_in_a_minute"], len(line["userid"])) == (20, 24)


@pytest.mark.parametrize("client", ["1000000/minute"], indirect=True)
async def test_nothing_secret_is_in_any_log_line_or_refusal(
    client: httpx.AsyncClient,
    issuer: IssuerServer,
    caplog: pytest.LogCaptureFixture,
    token_of: Callable[..., str],
) -> None:
    good = token_of(sub=f"user-{uuid4()}")
    forged = good[:-6] + "AAAAAA"
    refusals: list[str] = []
    sent = [
        {"name": "Ada", **LOGIN},
        LOGIN,
        {"refresh_token": SESSION},
        {"title": PASSWORD, EMAIL: PASSWORD},
        {"email": PASSWORD, "password": EMAIL, "token": good},
        [good, PASSWORD, EMAIL],
        PASSWORD,
    ]
    paths = [
        "/api/tasks",
        f"/api/tasks/{uuid4()}",
        f"/api/tasks/{uuid4()}/restore",
        "/api/auth/me",
        "/api/auth/register",
        "/api/auth/login",
        "/api/auth/refresh",
        "/api/auth/logout",
        "/livez",
        "/readyz",
        "/.well-known/oauth-protected-resource",
        "/nowhere",
        f"/api/tasks?q={PASSWORD}&access_token={good}&email={EMAIL}",
    ]
    failures = [
        Answer({"message": f"{EMAIL} {PASSWORD}", "code": f"{EMAIL}"}, 400),
        Answer({"message": EMAIL}, 403),
        Answer(raw=f"{PASSWORD} {EMAIL} {good}".encode()),
        Answer({"token": PASSWORD, "user": EMAIL}),
        Answer(EMAIL, 500),
    ]
    for failure in failures:
        issuer.answers[SIGN_IN] = issuer.answers[SIGN_UP] = failure
        for path in paths:
            for token in (good, forged, f"{PASSWORD} {EMAIL}", ""):
                headers = {"Cookie": f"session={SESSION}"}
                if token:
                    headers["Authorization"] = f"Bearer {token}"
                for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                    if (method, path, token) == ("DELETE", "/api/auth/me", good):
                        continue  # the good token would be refused from then on
                    body = sent[len(refusals) % len(sent)]
                    answer = await client.request(method, path, headers=headers, json=body)
                    refusals.append(answer.text if answer.status_code >= 400 else "")
    headers = {"Authorization": f"Bearer {good}", "Cookie": f"session={SESSION}"}
    answer = await client.request("DELETE", "/api/auth/me", headers=headers, json=sent[0])
    assert answer.status_code == 204
    for record in caplog.records:
        # The service silences httpx; these lines are about the test's own requests.
        if record.name.startswith(("httpx", "httpcore", "asyncio")):
            continue
        assert_clean(record.getMessage(), good)
    for text in refusals:
        assert_clean(text, good)
    assert len(refusals) > 1000
    assert any(refusals)


def assert_clean(text: str, token: str) -> None:
    for secret in (PASSWORD, EMAIL, SESSION, token.rpartition(".")[2], SERVICE_SECRET):
        assert secret not in text, text[:300]


def test_subject_is_the_same_on_every_replica_and_another_elsewhere() -> None:
    one, other, stranger = SecurityLog(b"a" * 32), SecurityLog(b"a" * 32), SecurityLog(b"b" * 32)
    assert one.hashed("ada") == other.hashed("ada") != one.hashed("bob")
    assert one.hashed("ada") != stranger.hashed("ada")


def test_long_details_are_cut(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    SecurityLog(b"a" * 32).write(Event.KEY_SET, state="x" * 10_000)
    assert len(caplog.text) < 1000


@pytest.mark.parametrize("value", [None, 1, [], "a b", "a@b", "x" * 90, "a\nb", ""])
def test_what_could_be_no_kid_is_not_written(value: object) -> None:
    assert claimed(value) is None


def test_404s_are_worth_a_line_now_and_then() -> None:
    watch = NotFoundWatch()
    assert [n for n in range(1, 600) if watch.count("ada") is not None] == [20, 100, 500]


def of_requests(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return only the events of requests: other tests revoke tokens in the same database."""
    return [line for line in found if "request_id" in line]


def key_set_lines(lines: Lines) -> list[dict[str, Any]]:
    return [line for line in lines() if line["event"] == "sys_key_set"]


def test_in_a_flood_some_refusals_are_written_and_the_next_line_says_how_many_were_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="security")
    now = 1000.0
    log = SecurityLog(b"k" * 32, clock=lambda: now)
    for _ in range(MAX_A_SECOND + 7):
        log.write(Event.TOKEN_REFUSED, reason="expired")
    log.write(Event.LOGIN_FAILED)
    assert len(caplog.records) == MAX_A_SECOND + 1
    now = 1001.0
    log.write(Event.TOKEN_REFUSED, reason="expired")
    log.write(Event.TOKEN_REFUSED, reason="expired")
    lines = [json.loads(record.getMessage()) for record in caplog.records[-2:]]
    assert lines[0]["left_out"] == 7
    assert "left_out" not in lines[1]
