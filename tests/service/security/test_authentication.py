"""Authentication: 401 with a challenge for bad tokens, 503 if they cannot be verified."""

import base64
import hmac
import json
import time
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter

from better_auth_keys import Signer, VerificationPolicy
from better_auth_keys.challenges import Challenge
from better_auth_keys.testing import HttpIssuer
from scripts.proofs.in_process import running
from service.app import create_app
from service.security.authentication import CurrentUser
from service.security.limit import parse_limit
from service.settings.model import Settings
from service.system.metadata import metadata_of
from tests.conftest import DatabaseUrls
from tests.service.conftest import ORIGIN, Person, settings_for

PATH = "/api/tasks"
NOBODYS = UUID("0198f3a2-7c11-7d42-b6a0-5e3c1f2d4b60")
METADATA = 'resource_metadata="http://localhost:8000/.well-known/oauth-protected-resource"'
GENERIC = "The access token provided is expired, revoked, malformed, or invalid for other reasons."


def b64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token_of(user: httpx.Headers) -> str:
    return str(user["Authorization"]).removeprefix("Bearer ")


def unsigned(user: httpx.Headers, signer: Signer) -> str:
    return f"{b64({'alg': 'none', 'kid': signer.kid})}.{token_of(user).split('.')[1]}."


def signed_with_the_public_key(user: httpx.Headers, signer: Signer) -> str:
    signing_input = f"{b64({'alg': 'HS256', 'kid': signer.kid})}.{token_of(user).split('.')[1]}"
    secret = json.dumps(signer.public_jwk()).encode()
    mac = hmac.digest(secret, signing_input.encode(), "sha256")
    return f"{signing_input}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


@pytest.mark.parametrize(
    "wrong",
    [
        "row02 alg none",
        "row03 HS256 with the public key",
        "row22 another issuer",
        "row23 another audience",
        "row24 expired",
        "row29 no sub",
        "row20 one byte changed",
        "another key under the same kid",
        "no token",
        "rubbish",
    ],
)
async def test_bad_token_gets_401_with_the_challenge_and_nothing_echoed(
    client: httpx.AsyncClient, signer: Signer, headers_of: Person, wrong: str
) -> None:
    good = headers_of("alice")
    now = int(time.time())
    token = token_of(good)
    impostor = Signer.generate("EdDSA", kid=signer.kid)
    tokens = {
        "row02 alg none": unsigned(good, signer),
        "row03 HS256 with the public key": signed_with_the_public_key(good, signer),
        "row22 another issuer": token_of(headers_of("alice", iss="https://evil.example.com")),
        "row23 another audience": token_of(headers_of("alice", aud="https://evil.example.com")),
        "row24 expired": token_of(headers_of("alice", iat=now - 900, exp=now - 60)),
        "row29 no sub": token_of(headers_of(None)),
        "row20 one byte changed": token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:],
        "another key under the same kid": impostor.mint(
            {"iss": ORIGIN, "aud": ORIGIN, "sub": "alice", "iat": now, "exp": now + 900}
        ),
        "no token": "",
        "rubbish": "rubbish",
    }
    answer = await client.get(PATH, headers=bearer(tokens[wrong]))
    problem = answer.json()
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (problem["code"], problem["detail"]) == ("invalid_token", GENERIC)
    assert answer.headers["WWW-Authenticate"] == (
        f'Bearer realm="tasks", error="invalid_token", error_description="{GENERIC}", {METADATA}'
    )
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert (await client.get(PATH, headers=good)).status_code == 200


@pytest.mark.parametrize("header", [None, "", "Basic YTpi", "Token abc", "Bearerabc"])
async def test_row34_missing_credentials_get_401_with_a_challenge_that_names_no_error(
    client: httpx.AsyncClient, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = await client.get(PATH, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == f'Bearer realm="tasks", {METADATA}'


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer  "])
async def test_scheme_is_taken_in_any_case(
    client: httpx.AsyncClient, alice: httpx.Headers, scheme: str
) -> None:
    headers = {"Authorization": f"{scheme} {token_of(alice)}"}
    assert (await client.get(PATH, headers=headers)).status_code == 200


async def test_row33_fault45_token_in_the_query_is_refused(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    parameters = {"access_token": token_of(alice)}
    for headers in (httpx.Headers(), alice):
        answer = await client.get(PATH, params=parameters, headers=headers)
        assert answer.status_code == 400
        assert answer.json()["code"] == "invalid_request"
        assert 'error="invalid_request"' in answer.headers["WWW-Authenticate"]


READS = [("GET", PATH), ("GET", f"{PATH}/{NOBODYS}")]
WRITES = [
    ("POST", PATH),
    ("PUT", f"{PATH}/{NOBODYS}"),
    ("PATCH", f"{PATH}/{NOBODYS}"),
    ("DELETE", f"{PATH}/{NOBODYS}"),
]


@pytest.mark.parametrize(("method", "path"), READS + WRITES)
@pytest.mark.parametrize("scope", ["", "tasks:read", "tasks:write", "tasks:read tasks:write"])
async def test_row31_row35_scope_is_enforced_where_the_token_carries_one(
    client: httpx.AsyncClient, headers_of: Person, method: str, path: str, scope: str
) -> None:
    needed = "tasks:read" if method == "GET" else "tasks:write"
    body = {"title": "x"} if method in ("POST", "PUT", "PATCH") else None
    user = headers_of("scoped", scope=scope)
    answer = await client.request(method, path, headers=user, json=body)
    if needed in scope.split():
        assert answer.status_code in (200, 201, 404)
        return
    assert answer.status_code == 403
    assert answer.json()["code"] == "insufficient_scope"
    challenge = answer.headers["WWW-Authenticate"]
    assert 'error="insufficient_scope", ' in challenge
    assert f'scope="{needed}"' in challenge


async def test_row36_metadata_of_session_tokens_names_no_authorization_server(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/.well-known/oauth-protected-resource")
    assert answer.json() == {
        "resource": "http://localhost:8000",
        "bearer_methods_supported": ["header"],
    }


def test_row36_metadata_of_oauth_tokens_names_authorization_server_and_scopes() -> None:
    issuer = f"{ORIGIN}/api/auth"
    for policy in (
        VerificationPolicy(issuer, ORIGIN, profile="rfc9068"),
        VerificationPolicy(ORIGIN, ORIGIN, oauth_issuers=issuer),
    ):
        metadata = metadata_of("https://api.example.com", policy)
        assert metadata.model_dump(exclude_defaults=True) == {
            "resource": "https://api.example.com",
            "authorization_servers": [issuer],
            "scopes_supported": ["tasks:read", "tasks:write"],
            "bearer_methods_supported": ["header"],
        }


def test_row35_quoted_strings_are_escaped() -> None:
    written = Challenge("e", 'a "b" \\ c').header("tasks")
    assert written == r'Bearer realm="tasks", error="e", error_description="a \"b\" \\ c"'


async def test_row36_service_that_does_not_know_its_url_names_no_metadata(
    database: DatabaseUrls, settings: Settings
) -> None:
    in_production = settings_for(database.app, environment="production", jwks_url=settings.jwks_url)
    async with running(create_app(in_production)) as client:
        assert (await client.get("/.well-known/oauth-protected-resource")).status_code == 404
        answer = await client.get(PATH)
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="tasks"'


async def test_row33_two_authorization_headers_are_refused(
    client: httpx.AsyncClient, alice: httpx.Headers
) -> None:
    value = alice["Authorization"]
    headers = [("Authorization", value), ("Authorization", value)]
    assert (await client.get(PATH, headers=headers)).status_code == 400


async def test_token_never_reaches_the_log(
    client: httpx.AsyncClient, headers_of: Person, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    tokens = [token_of(headers_of("alice")), token_of(headers_of("alice", aud="x"))]
    for token in tokens:
        await client.get(PATH, headers=bearer(token))
        await client.get(PATH, params={"access_token": token})
    ours = [record.getMessage() for record in caplog.records if record.name != "httpx"]
    assert any("wrong_audience" in message for message in ours)
    for token in tokens:
        assert not any(token in message or token[-20:] in message for message in ours)


async def test_row46_issuer_never_up_means_503_and_it_recovers_by_itself(
    database: DatabaseUrls, signer: Signer, headers_of: Person
) -> None:
    async with HttpIssuer(signer) as server:
        await server.stop()
        settings = settings_for(database.app, jwks_url=server.jwks_url)
        async with running(create_app(settings)) as client:
            answer = await client.get(PATH, headers=headers_of("alice"))
            assert answer.status_code == 503
            assert answer.json()["code"] == "key_set_unavailable"
            assert int(answer.headers["Retry-After"]) >= 1
            assert (await client.get("/livez")).status_code == 200
            ready = await client.get("/readyz")
            assert (ready.status_code, ready.json()["key_set"]) == (503, "unavailable")
            await server.start()
            # A request waits up to two seconds for the next fetch, so the second attempt succeeds.
            codes = [
                (await client.get(PATH, headers=headers_of("alice"))).status_code for _ in range(2)
            ]
            assert codes[-1] == 200
            assert (await client.get("/readyz")).status_code == 200


async def test_row42_issuer_gone_after_the_first_request_changes_nothing(
    database: DatabaseUrls, signer: Signer, headers_of: Person
) -> None:
    async with HttpIssuer(signer) as server:
        settings = settings_for(database.app, jwks_url=server.jwks_url)
        async with running(create_app(settings)) as client:
            assert (await client.get(PATH, headers=headers_of("alice"))).status_code == 200
            await server.stop()
            for _ in range(3):
                assert (await client.get(PATH, headers=headers_of("bob"))).status_code == 200
            unknown = Signer.generate().mint(
                {
                    "iss": ORIGIN,
                    "aud": ORIGIN,
                    "sub": "alice",
                    "iat": int(time.time()),
                    "exp": int(time.time()) + 60,
                }
            )
            answer = await client.get(PATH, headers=bearer(unknown))
            assert answer.status_code == 503, "unknown is not invalid"


async def test_current_user_works_on_a_plain_router_too(
    settings: Settings, alice: httpx.Headers
) -> None:
    plain = APIRouter()

    @plain.get("/plain")
    async def whoami(user: CurrentUser) -> str:
        return user.owner.id

    limited = settings.model_copy(
        update={"rate_limits": {**settings.rate_limits, "tasks": parse_limit("2/minute")}}
    )
    app = create_app(limited)
    async with running(app) as client:
        app._app.include_router(plain)  # type: ignore[attr-defined] # the FastAPI app in the front
        answers = [await client.get("/plain", headers=alice) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].json().startswith("alice-")
        refused = await client.get("/plain")
        assert (refused.status_code, refused.json()["code"]) == (401, "credentials_missing")
        assert refused.headers["WWW-Authenticate"] == f'Bearer realm="tasks", {METADATA}'
