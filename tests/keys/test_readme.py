"""The examples of the library's README, run: an app without `service/`."""

import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

import better_auth_keys
from better_auth_keys import (
    AccessTokenVerifier,
    InvalidDpopProofError,
    InvalidTokenError,
    IssuerSet,
    Signer,
)
from better_auth_keys.origins import origin_of
from scripts.proofs.in_process import running
from tests.keys.dpop_proofs import signed_proof, thumbprint
from tests.keys.oauth_tokens import ACCESS, oauth_claims
from tests.simulators.jwks_server import jwks_server

README = Path(better_auth_keys.__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def run(example: str, origin: str = "https://app.example.com") -> dict[str, Any]:
    """Run an example against the issuer at `origin`, and return its global names."""
    names: dict[str, Any] = {}
    exec(example.replace("https://app.example.com", origin), names)  # noqa: S102 - it is our own
    return names


def bearer(token: str) -> httpx.Headers:
    return httpx.Headers({"Authorization": f"Bearer {token}"})


async def test_fastapi_example_works(signer: Signer) -> None:
    async with jwks_server(signer) as server:
        origin = origin_of(server.url)
        now = int(time.time())
        claims = {"iss": origin, "aud": origin, "sub": "alice", "iat": now, "exp": now + 60}
        app = run(EXAMPLES[0], origin)["app"]
        assert isinstance(app, FastAPI)
        async with running(app) as client:
            good = await client.get("/me", headers=bearer(signer.mint(claims)))
            assert (good.status_code, good.json()) == (200, "alice")
            bad = await client.get("/me", headers=bearer(signer.mint({**claims, "sub": ""})))
            assert bad.status_code == 401
            assert bad.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
            await server.stop()
            unknown = Signer.generate().mint(claims)
            undecided = await client.get("/me", headers=bearer(unknown))
            assert undecided.status_code == 503
            assert int(undecided.headers["Retry-After"]) >= 1


async def test_dpop_example_works(signer: Signer) -> None:
    example = next(text for text in EXAMPLES if "DpopProof" in text)
    client = Signer.generate("ES256")
    async with jwks_server(signer) as server:
        origin = origin_of(server.url)
        names = run(example, origin)
        now = int(time.time())
        changes = {"iss": f"{origin}/api/auth", "iat": now, "exp": now + 60}
        bound = oauth_claims(**changes, cnf={"jkt": thumbprint(client)})
        token = signer.mint(bound, header=ACCESS)
        path = {"htu": "https://api.example.com/a%2Fb?c=d", "iat": now}
        proof = signed_proof(client, token, changes=path)
        scope = {"type": "http", "method": "GET", "path": "/a/b", "raw_path": b"/a%2Fb"}
        sent = [(b"authorization", f"DPoP {token}".encode()), (b"dpop", proof.encode())]
        async with names["verifier"]:
            accepted = await names["token_of"](Request({**scope, "headers": sent}))
            assert accepted.bound_key == thumbprint(client)
            with pytest.raises(InvalidDpopProofError, match="proof_replayed"):
                await names["token_of"](Request({**scope, "headers": sent}))
            with pytest.raises(InvalidDpopProofError, match="proof_count"):
                await names["token_of"](Request({**scope, "headers": sent[:1]}))
            as_bearer = [(b"authorization", f"Bearer {token}".encode()), sent[1]]
            with pytest.raises(InvalidTokenError, match="key_bound"):
                await names["token_of"](Request({**scope, "headers": as_bearer}))


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_creates_a_verifier(example: str) -> None:
    assert isinstance(run(example)["verifier"], AccessTokenVerifier | IssuerSet)


def test_public_names_in_the_readme_exist() -> None:
    classes = set(
        re.findall(r"`([A-Z][A-Za-z]+(?:Error|Set|List|Policy|Limits|Token))`", README.read_text())
    )
    assert len(classes) >= 10
    assert classes <= set(better_auth_keys.__all__)
