"""Errors and invalid answers of Better Auth, and what clients get."""

import asyncio
import time

import httpx
import pytest

from tests.service.accounts.account_requests import BARE, LOGIN, PASSWORD, REGISTRATION, USER, post
from tests.simulators.better_auth_accounts import SIGN_IN, SIGN_UP
from tests.simulators.issuer_server import Answer, IssuerServer

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
    "no answer": ("login", Answer(hang=True), 503, "issuer_unavailable"),
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
    account_client: httpx.AsyncClient,
    issuer: IssuerServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path, said, status, code = ERRORS[case]
    issuer.answers[SIGN_UP if path == "register" else SIGN_IN] = said
    began = time.monotonic()
    answer = await post(account_client, path, REGISTRATION if path == "register" else LOGIN)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert time.monotonic() - began < 2
    assert ("Retry-After" in answer.headers) == (status in {429, 503})
    assert status != 429 or answer.headers["Retry-After"] == "7"
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    for secret in (PASSWORD, "ada@", BARE):
        assert secret not in answer.text + caplog.text


async def test_fault63_better_auth_that_is_gone_is_503(
    account_client: httpx.AsyncClient, issuer: IssuerServer
) -> None:
    await issuer.stop()
    answers = await asyncio.gather(*(post(account_client, "login", LOGIN) for _ in range(50)))
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {
        (503, "issuer_unavailable")
    }
    assert (await account_client.get("/livez")).status_code == 200
