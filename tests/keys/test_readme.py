"""The examples of the library's README, run: an app without `service/`."""

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

import better_auth_keys.fastapi
from better_auth_keys import (
    AccessTokenVerifier,
    InvalidDpopProofError,
    InvalidTokenError,
    IssuerSet,
    Signer,
)
from better_auth_keys.testing import HttpIssuer
from scripts.proofs.in_process import running
from tests.conftest import DatabaseUrls
from tests.keys.dpop_proofs import signed_proof, thumbprint
from tests.keys.oauth_tokens import ACCESS, oauth_claims
from tests.simulators.jwks_table import connected

README = Path(better_auth_keys.__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def run(example: str, origin: str = "https://app.example.com") -> dict[str, Any]:
    """Run an example against the issuer at `origin`, and return its global names."""
    names: dict[str, Any] = {}
    exec(example.replace("https://app.example.com", origin), names)  # noqa: S102 - it is our own
    return names


def bearer(token: str) -> httpx.Headers:
    return httpx.Headers({"Authorization": f"Bearer {token}"})


async def test_three_lines_protect_a_fastapi_app(signer: Signer) -> None:
    async with HttpIssuer(signer) as server:
        origin = server.origin
        now = int(time.time())
        claims = {"iss": origin, "aud": origin, "sub": "alice", "iat": now, "exp": now + 60}
        app = run(EXAMPLES[0], origin)["app"]
        assert isinstance(app, FastAPI)
        async with running(app) as client:
            good = await client.get("/me", headers=bearer(signer.mint(claims)))
            assert (good.status_code, good.json()) == (200, "alice")
            bad = await client.get("/me", headers=bearer(signer.mint({**claims, "sub": ""})))
            assert bad.status_code == 401
            assert bad.headers["WWW-Authenticate"].startswith(
                'Bearer realm="api", error="invalid_token", '
            )
            assert (await client.get("/me")).headers["WWW-Authenticate"] == 'Bearer realm="api"'
            await server.stop()
            unknown = Signer.generate().mint(claims)
            undecided = await client.get("/me", headers=bearer(unknown))
            assert undecided.status_code == 503
            assert int(undecided.headers["Retry-After"]) >= 1


async def test_model_of_your_own_is_created_of_the_claims(signer: Signer) -> None:
    async with HttpIssuer(signer) as server:
        origin = server.origin
        now = int(time.time())
        claims = {"iss": origin, "aud": origin, "sub": "alice", "iat": now, "exp": now + 60}
        app = run(EXAMPLES[1], origin)["app"]
        assert isinstance(app, FastAPI)
        async with running(app) as client:
            good = {**claims, "email": "alice@example.com", "plan": "pro"}
            assert (await client.get("/plan", headers=bearer(signer.mint(good)))).json() == "pro"
            bad = await client.get("/plan", headers=bearer(signer.mint(claims)))
            assert bad.status_code == 401
            metadata = await client.get("/.well-known/oauth-protected-resource")
            assert metadata.json()["resource"] == "https://api.example.com"


async def test_token_is_verified_without_a_framework(signer: Signer) -> None:
    async with HttpIssuer(signer) as server:
        origin = server.origin
        now = int(time.time())
        claims = {"iss": origin, "aud": origin, "sub": "alice", "iat": now, "exp": now + 60}
        verified = run(EXAMPLES[2], origin)["verified"]
        assert (await verified(signer.mint(claims))).subject == "alice"


async def test_dpop_example_works(signer: Signer) -> None:
    example = next(text for text in EXAMPLES if "DpopProof.of_request" in text)
    client = Signer.generate("ES256")
    async with HttpIssuer(signer) as server:
        origin = server.origin
        names = run(example, origin)
        now = int(time.time())
        changes = {"iss": f"{origin}/api/auth", "iat": now, "exp": now + 60}
        bound = oauth_claims(**changes, cnf={"jkt": thumbprint(client)})
        token = signer.mint(bound, header=ACCESS)
        path = {"htu": "https://api.example.com/a%2Fb?c=d", "iat": now}
        proof = signed_proof(client, token, changes=path)
        scope = {"type": "http", "method": "GET", "path": "/a/b", "raw_path": b"/a%2Fb"}
        scope["query_string"] = b"c=d"
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


async def test_dpop_example_for_fastapi_works(signer: Signer) -> None:
    example = next(text for text in EXAMPLES if "DpopVerifier(base_url" in text)
    client = Signer.generate("ES256")
    async with HttpIssuer(signer) as server:
        origin = server.origin
        app = run(example, origin)["app"]
        assert isinstance(app, FastAPI)
        now = int(time.time())
        changes = {"iss": f"{origin}/api/auth", "iat": now, "exp": now + 60}
        bound = oauth_claims(**changes, cnf={"jkt": thumbprint(client)})
        token = signer.mint(bound, header=ACCESS)
        path = {"htu": "https://api.example.com/tasks", "iat": now}
        proof = signed_proof(client, token, changes=path)
        async with running(app) as caller:
            headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
            answers = [await caller.get("/tasks", headers=headers) for _ in range(2)]
            assert [answer.status_code for answer in answers] == [200, 401]
            as_bearer = await caller.get("/tasks", headers=bearer(token))
            assert as_bearer.status_code == 401


@pytest.mark.parametrize(
    ("name", "passed", "ignored"),
    [
        ("import Issuer, as_user", "2 passed", []),
        # Without httpx2, Starlette's client warns; the guide says so.
        ("import HttpIssuer", "1 passed", ["-W", "ignore:Using `httpx` with"]),
    ],
    ids=["in the process", "over HTTP"],
)
def test_example_of_a_test_passes_without_a_warning(
    name: str, passed: str, ignored: list[str], tmp_path: Path
) -> None:
    [example] = [text for text in EXAMPLES if f"better_auth_keys.testing {name}" in text]
    (tmp_path / "test_app.py").write_text(example)
    # Users need not have pytest-asyncio, which warns about its own settings.
    plugins = [
        "-p",
        "no:asyncio",
        "-p",
        "no:cacheprovider",
        "-p",
        "better_auth_keys.testing.plugin",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *ignored, *plugins, "test_app.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(README.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert passed in done.stdout
    assert "warning" not in done.stdout


def test_every_example_with_the_testing_kit_is_run() -> None:
    assert sum("better_auth_keys.testing" in text for text in EXAMPLES) == 2


@pytest.mark.parametrize("example", [text for text in EXAMPLES if "verifier = " in text])
def test_example_creates_a_verifier(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVOCATIONS_DATABASE_URL", "postgresql://reader:pw@localhost/db")
    assert isinstance(run(example)["verifier"], AccessTokenVerifier | IssuerSet)


async def verify_again_and_again(verifier: AccessTokenVerifier, token: str) -> None:
    while (await verifier.verify(token)).subject:  # noqa: ASYNC110 - the event is in the database
        await asyncio.sleep(0.005)


async def test_example_with_a_feed_refuses_a_revoked_key(
    signer: Signer, issuer_database: DatabaseUrls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVOCATIONS_DATABASE_URL", issuer_database.revocations_reader)
    (example,) = [one for one in EXAMPLES if "RevocationFeed(" in one]
    async with HttpIssuer(signer) as server:
        origin = server.origin
        names = run(example, origin)
        verifier = names["verifier"]
        now = int(time.time())
        claims = {"iss": origin, "aud": origin, "sub": "alice", "iat": now, "exp": now + 60}
        token = signer.mint(claims)
        async with running(names["app"]), connected(issuer_database.auth) as operator:
            assert (await verifier.verify(token)).subject == "alice"
            await operator.execute("INSERT INTO public.revoked_keys (kid) VALUES ($1)", signer.kid)
            await operator.execute("NOTIFY signing_keys")
            with pytest.raises(InvalidTokenError, match="revoked_key"):
                await asyncio.wait_for(verify_again_and_again(verifier, token), 10)


def test_public_names_in_the_readme_exist() -> None:
    classes = set(
        re.findall(r"`([A-Z][A-Za-z]+(?:Error|Set|List|Policy|Limits|Token))`", README.read_text())
    )
    assert len(classes) >= 10
    assert classes <= {*better_auth_keys.__all__, *better_auth_keys.fastapi.__all__}
