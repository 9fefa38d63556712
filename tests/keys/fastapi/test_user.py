"""`auth.user` and `auth.optional_user`: each status and each challenge."""

import logging
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from starlette.responses import Response

from better_auth_keys import (
    AccessToken,
    AccessTokenVerifier,
    DpopProof,
    InvalidTokenError,
    KeysError,
    KeySetUnavailableError,
    RevocationsUnavailableError,
    TooManyInvalidTokensError,
)
from better_auth_keys.fastapi import AuthError, BetterAuth, User
from scripts.proofs.in_process import running
from tests.keys.fastapi.conftest import Mint, app_of, asking, bearer
from tests.keys.signed_tokens import ORIGIN

GENERIC = "The access token provided is expired, revoked, malformed, or invalid for other reasons."
INVALID = f'Bearer realm="api", error="invalid_token", error_description="{GENERIC}"'


class Failing:
    """A verifier that cannot decide, and accepts no DPoP proofs."""

    dpop = None

    def __init__(self, error: KeysError) -> None:
        self.error = error
        self.client: str | None = None

    async def verify(
        self, _token: str, *, proof: DpopProof | None = None, client: str | None = None
    ) -> AccessToken:
        assert proof is None
        self.client = client
        raise self.error

    async def __aenter__(self) -> object:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


async def test_user_of_a_valid_token_is_returned(
    verifier: AccessTokenVerifier, headers_of: Mint
) -> None:
    auth = BetterAuth(verifier)
    app = FastAPI()

    @app.get("/me")
    async def me(user: Annotated[User, Depends(auth.user)]) -> dict[str, object]:
        assert user.claims["createdAt"] == "2026-01-01"
        return {
            "id": user.id,
            "issuer": user.issuer,
            "name": user.name,
            "email": user.email,
            "verified": user.email_verified,
            "scopes": user.scopes,
            "roles": user.roles,
            "organization": user.organization,
        }

    async with asking(app) as client:
        answer = await client.get("/me", headers=headers_of(createdAt="2026-01-01", name=7))
    assert answer.json() == {
        "id": "alice",
        "issuer": ORIGIN,
        "name": None,
        "email": "alice@example.com",
        "verified": False,
        "scopes": None,
        "roles": [],
        "organization": None,
    }


@pytest.mark.parametrize("path", ["/me", "/optional"])
async def test_row35_invalid_token_is_refused_and_only_the_log_says_why(
    verifier: AccessTokenVerifier, headers_of: Mint, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "better_auth_keys")
    async with asking(app_of(BetterAuth(verifier))) as client:
        answer = await client.get(path, headers=headers_of(exp=1, iat=0))
        assert (answer.status_code, answer.json()) == (401, {"detail": GENERIC})
        assert answer.headers["WWW-Authenticate"] == INVALID
        assert (await client.get(path, headers=bearer(""))).status_code == 401
    assert "a token was refused: expired" in caplog.messages


@pytest.mark.parametrize("header", [None, "Basic YTpi"])
async def test_row34_missing_token_is_401_without_an_error_code_and_none_where_it_is_optional(
    verifier: AccessTokenVerifier, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    async with asking(app_of(BetterAuth(verifier, realm='a "b"'))) as client:
        answer = await client.get("/me", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == r'Bearer realm="a \"b\""'
        answer = await client.get("/optional", headers=headers)
        assert (answer.status_code, answer.json()) == (200, None)


@pytest.mark.parametrize("path", ["/me", "/optional"])
async def test_row33_row35_token_that_is_sent_wrongly_is_400(
    verifier: AccessTokenVerifier, headers_of: Mint, path: str
) -> None:
    value = headers_of()["Authorization"]
    async with asking(app_of(BetterAuth(verifier))) as client:
        in_url = await client.get(path, params={"access_token": value[7:]})
        twice = await client.get(path, headers=[("Authorization", value)] * 2)
    for answer in (in_url, twice):
        assert answer.status_code == 400
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_request"'


@pytest.mark.parametrize("path", ["/me", "/optional"])
async def test_banned_user_is_403(
    verifier: AccessTokenVerifier, headers_of: Mint, path: str
) -> None:
    async with asking(app_of(BetterAuth(verifier))) as client:
        assert (await client.get(path, headers=headers_of(banned=False))).status_code == 200
        answer = await client.get(path, headers=headers_of(banned=True))
    assert (answer.status_code, answer.json()) == (403, {"detail": "This account is banned."})
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("path", ["/me", "/optional"])
@pytest.mark.parametrize(
    ("error", "status", "seconds"),
    [
        (KeySetUnavailableError("down", retry_after=4.2), 503, "5"),
        (RevocationsUnavailableError(), 503, "1"),
        (TooManyInvalidTokensError(retry_after=0.1), 429, "1"),
    ],
    ids=["keys", "revocations", "too many"],
)
async def test_token_that_was_not_judged_is_never_401(
    error: KeysError, status: int, seconds: str, path: str
) -> None:
    async with running(app_of(BetterAuth(Failing(error)))) as client:
        answer = await client.get(path, headers=bearer("a.b.c"))
    assert answer.status_code == status
    assert answer.headers["Retry-After"] == seconds
    assert "WWW-Authenticate" not in answer.headers


async def test_client_is_counted_by_its_network() -> None:
    verifier = Failing(TooManyInvalidTokensError(retry_after=1))
    app = app_of(BetterAuth(verifier))
    for host, counted in [("2001:db8::7", "2001:db8::/64"), ("::ffff:192.0.2.1", "192.0.2.1")]:
        transport = httpx.ASGITransport(app, client=(host, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
            await client.get("/me", headers=bearer("a.b.c"))
        assert verifier.client == counted


async def test_handler_for_http_exceptions_gets_the_error_and_its_code(
    verifier: AccessTokenVerifier, headers_of: Mint
) -> None:
    app = app_of(BetterAuth(verifier))
    seen: list[AuthError] = []

    @app.exception_handler(HTTPException)
    async def handle(_request: Request, error: AuthError) -> Response:
        seen.append(error)
        return Response(status_code=error.status_code, headers=error.headers)

    async with asking(app) as client:
        await client.get("/me")
        await client.get("/me", headers=headers_of(aud="another"))
    assert [repr(error.status_code) for error in seen] == ["401", "401"]
    assert [error.code for error in seen] == ["credentials_missing", "invalid_token"]
    assert isinstance(seen[1].__cause__, InvalidTokenError)
    assert seen[1].__cause__.reason == "wrong_audience"


async def test_unknown_error_of_a_verifier_is_raised_as_it_is() -> None:
    async with asking(app_of(BetterAuth(Failing(KeysError("new"))))) as client:
        assert (await client.get("/me", headers=bearer("a.b.c"))).status_code == 500
