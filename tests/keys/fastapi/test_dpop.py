"""`BetterAuth` with DPoP proofs: which requests are accepted, and what the others are told."""

import time
from typing import Annotated, Final

import httpx
import pytest
from fastapi import Depends, FastAPI, Security

from better_auth_keys import (
    AccessTokenVerifier,
    DpopNonces,
    DpopProof,
    DpopVerifier,
    IssuerSet,
    Signer,
    UsedProofs,
)
from better_auth_keys.fastapi import BetterAuth, User
from tests.keys.dpop_proofs import bound_token, signed_proof
from tests.keys.fastapi.conftest import Mint, app_of, asking, bearer
from tests.keys.fastapi.test_app import handshake
from tests.keys.signed_tokens import ORIGIN, POLICY, key_set_of

CLIENT: Final = Signer.generate("ES256")
API: Final = "https://api.example.com"
ALGORITHMS: Final = 'algs="ES256 ES512 Ed25519 EdDSA PS256 RS256"'
PLAIN: Final = f'DPoP realm="api", {ALGORITHMS}'


def auth_of(signer: Signer, dpop: DpopVerifier | None = None) -> BetterAuth[User]:
    dpop = DpopVerifier(base_url=API) if dpop is None else dpop
    return BetterAuth(AccessTokenVerifier(key_set_of(signer), POLICY, dpop=dpop))


@pytest.fixture
def auth(signer: Signer) -> BetterAuth[User]:
    return auth_of(signer)


@pytest.fixture
def token(signer: Signer) -> str:
    now = int(time.time())
    return bound_token(signer, CLIENT, iat=now, exp=now + 60)


def proven(token: str, url: str = f"{API}/me", **changes: object) -> httpx.Headers:
    """Return the headers of a request with a proof; `changes` are those of its claims."""
    claims = {"htu": url, "iat": int(time.time()), **changes}
    proof = signed_proof(CLIENT, token, changes=claims)
    return httpx.Headers({"Authorization": f"DPoP {token}", "DPoP": proof})


async def test_row63_bound_token_is_accepted_with_a_proof_for_each_request(
    auth: BetterAuth[User], token: str, headers_of: Mint
) -> None:
    async with asking(app_of(auth)) as client:
        for _ in range(2):
            headers = proven(token)
            assert (await client.get("/me", headers=headers)).json() == "alice"
            again = await client.get("/me", headers=headers)
            assert (again.status_code, again.json()) == (
                401,
                {"detail": "The DPoP proof is invalid."},
            )
        assert (await client.get("/me", headers=headers_of())).json() == "alice"
        optional = await client.get("/optional", headers=proven(token, f"{API}/optional"))
        assert optional.json() == "alice"


async def test_row58_url_is_that_of_the_app_and_not_of_the_header_host(
    auth: BetterAuth[User], token: str
) -> None:
    app = app_of(auth)

    @app.get("/a b/{name}")
    async def named(user: Annotated[User, Depends(auth.user)], name: str) -> str:
        return f"{user.id} {name}"

    async with asking(app) as client:
        forged = await client.get(
            "/me", headers={**proven(token, "https://other.test/me"), "Host": "other.test"}
        )
        assert forged.status_code == 401
        accepted = await client.get("/me", headers={**proven(token), "Host": "other.test"})
        assert accepted.json() == "alice"
        escaped = proven(token, f"{API}/a%20b/c%2Cd")
        answer = await client.get("/a%20b/c%2Cd?e=f", headers=escaped)
        assert answer.json() == "alice c,d"


def test_row58_path_is_escaped_if_the_server_keeps_only_the_decoded_one() -> None:
    scope = {"headers": [], "method": "GET", "path": "/a b/c%d/ü"}
    assert DpopProof.of_request(scope, API).url == f"{API}/a%20b/c%25d/%C3%BC"


@pytest.mark.parametrize("path", ["/me", "/optional"])
async def test_row64_refusal_names_the_error_in_the_scheme_that_was_used(
    auth: BetterAuth[User], token: str, headers_of: Mint, path: str
) -> None:
    url = f"{API}{path}"
    unbound = headers_of()["Authorization"].removeprefix("Bearer ")
    twice = [*proven(token, url).multi_items(), ("DPoP", "a.b.c")]
    refused: dict[str, tuple[httpx.Headers, str]] = {
        "another method": (proven(token, url, htm="POST"), "invalid_dpop_proof"),
        "another URL": (proven(token, f"{API}/other"), "invalid_dpop_proof"),
        "no proof": (httpx.Headers({"Authorization": f"DPoP {token}"}), "invalid_dpop_proof"),
        "two proofs": (httpx.Headers(twice), "invalid_dpop_proof"),
        "not bound": (proven(unbound, url), "invalid_token"),
        "no token": (httpx.Headers({"Authorization": "DPoP"}), "invalid_token"),
    }
    async with asking(app_of(auth)) as client:
        for name, (headers, code) in refused.items():
            answer = await client.get(path, headers=headers)
            challenge = answer.headers["WWW-Authenticate"]
            assert answer.status_code == 401, name
            assert challenge.startswith(f'DPoP realm="api", error="{code}", '), name
            assert challenge.endswith(ALGORITHMS), name
            assert "Bearer" not in challenge
        as_bearer = await client.get(path, headers=bearer(token))
    assert as_bearer.status_code == 401
    challenge = as_bearer.headers["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="api", error="invalid_token", ')
    assert challenge.endswith(f", {PLAIN}")


async def test_row64_request_without_a_token_learns_both_schemes(auth: BetterAuth[User]) -> None:
    async with asking(app_of(auth)) as client:
        answer = await client.get("/me")
        assert answer.headers["WWW-Authenticate"] == f'Bearer realm="api", {PLAIN}'
        assert (await client.get("/optional")).json() is None


async def test_row64_missing_scope_is_named_in_the_scheme_that_was_used(
    auth: BetterAuth[User], signer: Signer, headers_of: Mint
) -> None:
    app = app_of(auth)

    @app.get("/tasks")
    async def tasks(user: Annotated[User, Depends(auth.require("tasks:read"))]) -> str:
        return user.id

    now = int(time.time())
    token = bound_token(signer, CLIENT, iat=now, exp=now + 60, scope="")
    async with asking(app) as client:
        dpop = await client.get("/tasks", headers=proven(token, f"{API}/tasks"))
        plain = await client.get("/tasks", headers=headers_of(scope=""))
    error = 'realm="api", error="insufficient_scope", '
    assert [dpop.status_code, plain.status_code] == [403, 403]
    assert dpop.headers["WWW-Authenticate"].startswith(f"DPoP {error}")
    assert 'scope="tasks:read"' in dpop.headers["WWW-Authenticate"]
    assert plain.headers["WWW-Authenticate"].startswith(f"Bearer {error}")


async def test_row62_client_gets_a_nonce_and_can_try_again(signer: Signer, token: str) -> None:
    dpop = DpopVerifier(base_url=API, nonces=DpopNonces(b"s" * 32))
    async with asking(app_of(auth_of(signer, dpop))) as client:
        refused = await client.get("/me", headers=proven(token))
        assert refused.status_code == 401
        assert 'error="use_dpop_nonce"' in refused.headers["WWW-Authenticate"]
        headers = proven(token, nonce=refused.headers["DPoP-Nonce"])
        assert (await client.get("/me", headers=headers)).json() == "alice"


async def test_row61_proof_that_cannot_be_remembered_is_503(signer: Signer, token: str) -> None:
    dpop = DpopVerifier(base_url=API, used_proofs=UsedProofs(max_proofs=1))
    async with asking(app_of(auth_of(signer, dpop))) as client:
        assert (await client.get("/me", headers=proven(token))).status_code == 200
        answer = await client.get("/me", headers=proven(token))
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert "WWW-Authenticate" not in answer.headers


async def test_row61_proof_counts_once_for_all_dependencies_of_a_route(
    auth: BetterAuth[User], signer: Signer
) -> None:
    app = FastAPI(dependencies=[Depends(auth.optional_user)])

    @app.get("/me")
    async def me(
        user: Annotated[User, Depends(auth.user)],
        reader: Annotated[User, Security(auth.user, scopes=["tasks:read"])],
    ) -> list[str]:
        return [user.id, reader.id]

    now = int(time.time())
    token = bound_token(signer, CLIENT, iat=now, exp=now + 60, scope="tasks:read")
    narrow = bound_token(signer, CLIENT, iat=now, exp=now + 60, scope="")
    async with asking(app) as client:
        assert (await client.get("/me", headers=proven(token))).json() == ["alice", "alice"]
        assert (await client.get("/me", headers=proven(narrow))).status_code == 403


async def test_row32_scheme_is_unknown_to_an_app_that_takes_no_proofs(
    verifier: AccessTokenVerifier, token: str
) -> None:
    async with asking(app_of(BetterAuth(verifier))) as client:
        answer = await client.get("/me", headers=proven(token))
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
        assert (await client.get("/me", headers=bearer(token))).status_code == 401


async def test_row63_handshake_of_a_websocket_is_a_get_request(
    auth: BetterAuth[User], token: str
) -> None:
    app = FastAPI()

    @app.websocket("/ws")
    async def talk(_user: Annotated[User, Depends(auth.user)]) -> None:
        raise AssertionError("the proof is another URL's")

    start, *_ = await handshake(app, proven(token))
    assert start["status"] == 401
    assert dict(start["headers"])[b"www-authenticate"].startswith(b'DPoP realm="api", error=')
    proof = DpopProof.of_request({"headers": [(b"dpop", b"a")], "path": "/ws"}, API)
    assert (proof.method, proof.url, proof.headers) == ("GET", f"{API}/ws", ["a"])


async def test_row36_metadata_has_the_algorithms_of_proofs(auth: BetterAuth[User]) -> None:
    app = FastAPI()
    app.include_router(auth.metadata_router(API))
    async with asking(app) as client:
        document = (await client.get("/.well-known/oauth-protected-resource")).json()
    assert document["dpop_signing_alg_values_supported"] == [
        "ES256",
        "ES512",
        "Ed25519",
        "EdDSA",
        "PS256",
        "RS256",
    ]


async def test_issuers_of_a_set_accept_proofs_if_they_share_a_dpop_verifier(
    signer: Signer, token: str
) -> None:
    dpop = DpopVerifier(base_url=API)
    other = "https://other.example.com"
    ours = AccessTokenVerifier(key_set_of(signer), POLICY, dpop=dpop)
    sharing = AccessTokenVerifier.for_better_auth(other, dpop=dpop)
    apart = AccessTokenVerifier.for_better_auth(other)
    for second, status in [(sharing, 200), (apart, 401)]:
        async with asking(app_of(BetterAuth(IssuerSet([ours, second])))) as client:
            assert (await client.get("/me", headers=proven(token))).status_code == status


def test_proofs_are_an_option_of_each_way_to_create_an_object() -> None:
    dpop = DpopVerifier(base_url=f"{API}/")
    assert dpop.base_url == API
    verifiers = [
        AccessTokenVerifier.for_better_auth(ORIGIN, dpop=dpop),
        AccessTokenVerifier.for_neon(ORIGIN, dpop=dpop),
        AccessTokenVerifier.for_issuer(ORIGIN, API, dpop=dpop),
    ]
    assert all(verifier.dpop is dpop for verifier in verifiers)
    for auth in (BetterAuth(ORIGIN, dpop=dpop), BetterAuth.neon(ORIGIN, dpop=dpop)):
        assert "DPoP" in (auth.user.model.description or "")
    assert "DPoP" not in (BetterAuth(ORIGIN).user.model.description or "")


def test_proofs_without_the_url_of_the_app_are_a_mistake() -> None:
    for create in (BetterAuth, BetterAuth.neon):
        with pytest.raises(ValueError, match="base_url"):
            create(ORIGIN, dpop=DpopVerifier())
    with pytest.raises(TypeError, match="dpop belong to a URL"):
        BetterAuth(AccessTokenVerifier.for_better_auth(ORIGIN), dpop=DpopVerifier(base_url=API))
    for url in ("api.example.com", f"{API}/?a=b", "ftp://api.example.com"):
        with pytest.raises(ValueError, match="must"):
            DpopVerifier(base_url=url)
