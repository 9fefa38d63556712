"""`BetterAuth` in an app: its OpenAPI document, metadata, WebSockets, and several in one app."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, WebSocket
from starlette.types import Message

from better_auth_keys import (
    AccessTokenVerifier,
    Signer,
    StaticKeySet,
    VerificationPolicy,
    parse_jwk,
)
from better_auth_keys.fastapi import BetterAuth, User
from tests.keys.fastapi.conftest import Mint, asking, bearer
from tests.keys.signed_tokens import ORIGIN

METADATA = "/.well-known/oauth-protected-resource"


def test_openapi_document_has_the_security_scheme_of_each_route(
    verifier: AccessTokenVerifier,
) -> None:
    auth = BetterAuth(ORIGIN)
    partner = BetterAuth(verifier, scheme_name="Partner")
    app = FastAPI()

    @app.get("/open")
    async def anybody() -> str:
        return ""

    @app.get("/user")
    async def user(user: Annotated[User, Depends(auth.user)]) -> str:
        return user.id

    @app.get("/role")
    async def role(user: Annotated[User, Depends(auth.require_role("admin"))]) -> str:
        return user.id

    @app.get("/partner")
    async def of_partner(user: Annotated[User | None, Depends(partner.optional_user)]) -> str:
        return "" if user is None else user.id

    document = app.openapi()
    assert document["components"]["securitySchemes"] == {
        "BetterAuth": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A JWT from Better Auth at https://app.example.com.",
        },
        "Partner": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A JWT from Better Auth.",
        },
    }
    security = {path: item["get"].get("security") for path, item in document["paths"].items()}
    assert security == {
        "/open": None,
        "/user": [{"BetterAuth": []}],
        "/role": [{"BetterAuth": []}],
        "/partner": [{"Partner": []}],
    }
    assert all(set(item["get"]["responses"]) == {"200"} for item in document["paths"].values())


async def test_row36_metadata_route_is_named_in_challenges(
    verifier: AccessTokenVerifier, headers_of: Mint
) -> None:
    auth = BetterAuth(verifier)
    app = FastAPI()
    app.include_router(
        auth.metadata_router(
            "https://api.example.com/v1",
            authorization_servers=[f"{ORIGIN}/api/auth"],
            scopes=["tasks:read"],
        )
    )

    @app.get("/me")
    async def me(user: Annotated[User, Depends(auth.require("tasks:read"))]) -> str:
        return user.id

    named = f'resource_metadata="https://api.example.com{METADATA}/v1"'
    async with asking(app) as client:
        document = await client.get(f"{METADATA}/v1")
        refused = [
            await client.get("/me"),
            await client.get("/me", headers=bearer("a")),
            await client.get("/me?access_token=a"),
            await client.get("/me", headers=headers_of(scope="")),
        ]
    assert document.json() == {
        "resource": "https://api.example.com/v1",
        "authorization_servers": [f"{ORIGIN}/api/auth"],
        "scopes_supported": ["tasks:read"],
        "bearer_methods_supported": ["header"],
    }
    assert [answer.status_code for answer in refused] == [401, 401, 400, 403]
    assert all(answer.headers["WWW-Authenticate"].endswith(f", {named}") for answer in refused)


async def test_row36_metadata_of_session_tokens_names_no_authorization_server(
    verifier: AccessTokenVerifier,
) -> None:
    app = FastAPI()
    app.include_router(BetterAuth(verifier).metadata_router("https://api.example.com"))
    async with asking(app) as client:
        assert (await client.get(METADATA)).json() == {
            "resource": "https://api.example.com",
            "bearer_methods_supported": ["header"],
        }


async def test_several_issuers_in_one_app_are_kept_apart(
    verifier: AccessTokenVerifier, headers_of: Mint
) -> None:
    other_signer = Signer.generate("EdDSA")
    other_origin = "https://partner.example.com"
    keys = StaticKeySet([parse_jwk(other_signer.public_jwk(), {"EdDSA"})])
    other = BetterAuth(
        AccessTokenVerifier(keys, VerificationPolicy(other_origin, other_origin)),
        realm="partner",
        scheme_name="Partner",
    )
    auth = BetterAuth(verifier)
    app = FastAPI()

    @app.get("/ours")
    async def ours(user: Annotated[User, Depends(auth.user)]) -> str:
        return user.issuer

    @app.get("/theirs")
    async def theirs(user: Annotated[User, Depends(other.user)]) -> str:
        return user.issuer

    async with asking(app) as client:
        assert (await client.get("/ours", headers=headers_of())).json() == ORIGIN
        refused = await client.get("/theirs", headers=headers_of())
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith('Bearer realm="partner", ')


async def handshake(app: FastAPI, headers: Any, *, query: bytes = b"") -> list[Message]:
    """Open a WebSocket at `/ws` and return what the app sends."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "scheme": "ws",
        "path": "/ws",
        "raw_path": b"/ws",
        "root_path": "",
        "query_string": query,
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("192.0.2.1", 1),
        "server": ("api.test", 80),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
    await app(scope, receive, send)
    return sent


async def test_websocket_handshake_is_authenticated_and_refused_with_the_same_status(
    verifier: AccessTokenVerifier, headers_of: Mint
) -> None:
    auth = BetterAuth(verifier)
    app = FastAPI()

    @app.websocket("/ws")
    async def talk(
        websocket: WebSocket, user: Annotated[User, Depends(auth.require("tasks:read"))]
    ) -> None:
        await websocket.accept()
        await websocket.send_text(user.id)
        await websocket.close()

    accepted = await handshake(app, headers_of())
    assert [message["type"] for message in accepted] == [
        "websocket.accept",
        "websocket.send",
        "websocket.close",
    ]
    assert accepted[1]["text"] == "alice"
    for headers, status in (({}, 401), (bearer("a"), 401), (headers_of(scope=""), 403)):
        start, *_ = await handshake(app, headers)
        assert (start["type"], start["status"]) == ("websocket.http.response.start", status)
        assert dict(start["headers"])[b"www-authenticate"].startswith(b'Bearer realm="api"')
    start, *_ = await handshake(app, headers_of(), query=b"access_token=a")
    assert start["status"] == 400
