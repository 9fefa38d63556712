"""Invalid bodies, which never reach Better Auth."""

import httpx
import pytest

from tests.service.accounts.account_requests import LOGIN, PASSWORD, REGISTRATION, post
from tests.simulators.issuer_server import IssuerServer

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
async def test_invalid_body_is_refused_without_repeating_it(
    case: str, account_client: httpx.AsyncClient, issuer: IssuerServer
) -> None:
    path, body, status = BAD_BODIES[case]
    answer = await post(account_client, path, body)
    assert (answer.status_code, PASSWORD in answer.text) == (status, False)
    assert issuer.received == []


async def test_body_that_is_not_json_is_refused_before_better_auth_is_called(
    account_client: httpx.AsyncClient, issuer: IssuerServer
) -> None:
    sent = {"content": b'{"email": 1, "email": 2}', "headers": {"Content-Type": "application/json"}}
    assert (await account_client.post("/api/auth/login", **sent)).status_code == 400  # type: ignore[arg-type] # a bundle
    text = await account_client.post("/api/auth/login", content=b"a=b")
    assert text.status_code == 415
    assert issuer.received == []
