"""The examples of the library's README, run: an app without `service/`."""

import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import better_auth_keys.fastapi
from better_auth_keys import AccessTokenVerifier, IssuerSet, Signer
from better_auth_keys.testing import HttpIssuer
from scripts.proofs.in_process import running

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


# Starlette prefers httpx2. The library requires httpx, and its TestClient works with that.
@pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient` is deprecated")
def test_example_of_a_test_passes() -> None:
    [example] = [text for text in EXAMPLES if "better_auth_keys.testing" in text]
    names = run(example)
    tests = [name for name in names if name.startswith("test_")]
    assert len(tests) == 2
    for name in tests:
        names[name]()


@pytest.mark.parametrize("example", [text for text in EXAMPLES if "verifier = " in text])
def test_example_creates_a_verifier(example: str) -> None:
    assert isinstance(run(example)["verifier"], AccessTokenVerifier | IssuerSet)


def test_public_names_in_the_readme_exist() -> None:
    classes = set(
        re.findall(r"`([A-Z][A-Za-z]+(?:Error|Set|List|Policy|Limits|Token))`", README.read_text())
    )
    assert len(classes) >= 10
    assert classes <= {*better_auth_keys.__all__, *better_auth_keys.fastapi.__all__}
