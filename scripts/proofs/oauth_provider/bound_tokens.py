"""Tokens that Better Auth bound to a client's key, and requests with and without DPoP proofs."""

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Mapping
from typing import Annotated, Final

import httpx
from fastapi import Depends, FastAPI

from better_auth_keys import (
    ALGORITHMS,
    AccessTokenVerifier,
    DpopProof,
    InvalidTokenError,
    Signer,
)
from better_auth_keys.fastapi import BetterAuth, User
from scripts.proofs.oauth_provider.client import OAuthClient

API: Final = "https://api.example.com"
URL: Final = f"{API}/api/tasks"
# What the verifier says about each request with a bound token: `kind` and scopes, or the reason.
REQUESTS: Final[Mapping[str, str]] = {
    "no proof": "key_bound",
    "its proof": "oauth tasks:read",
    "its proof again": "proof_replayed",
    "proof for POST": "proof_method",
    "proof of another key": "proof_key_mismatch",
    "next proof": "oauth tasks:read",
}
# What an app with `better_auth_keys.fastapi` answers: the status and the body, or the challenge.
ANSWERS: Final[Mapping[str, str]] = {
    "to an app": "200 tasks:read",
    "to an app again": "401 invalid_dpop_proof",
    "to an app as Bearer": "401 invalid_token",
}


def proof_of(key: Signer, method: str, url: str, token: str | None = None) -> str:
    """Return a proof by `key` for one request, which sends `token`."""
    claims: dict[str, object] = {
        "jti": secrets.token_urlsafe(16),
        "htm": method,
        "htu": url,
        "iat": int(time.time()),
    }
    if token is not None:
        digest = hashlib.sha256(token.encode()).digest()
        claims["ath"] = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return key.mint(claims, header={"typ": "dpop+jwt", "jwk": key.public_jwk()})


async def bound_verdicts(
    client: OAuthClient, verifier: AccessTokenVerifier
) -> list[tuple[str, str, str, str]]:
    """Return token, request, expected and seen verdict, for keys of each algorithm."""
    verdicts = []
    for algorithm in ALGORITHMS:
        key = Signer.generate(algorithm)
        asked = proof_of(key, "POST", client.token_endpoint)
        token = (await client.user_tokens("tasks:read", proof=asked))["access_token"]
        used = _request(proof_of(key, "GET", URL, token))
        proofs = {
            "no proof": None,
            "its proof": used,
            "its proof again": used,
            "proof for POST": _request(proof_of(key, "POST", URL, token)),
            "proof of another key": _request(proof_of(Signer.generate(), "GET", URL, token)),
            "next proof": _request(proof_of(key, "GET", URL, token)),
        }
        for name, expected in REQUESTS.items():
            seen = await judged(verifier, token, proofs[name])
            verdicts.append((f"bound to {algorithm}", name, expected, seen))
        sent = {"Authorization": f"DPoP {token}", "DPoP": proof_of(key, "GET", URL, token)}
        answers = [
            await _answered(verifier, headers)
            for headers in (sent, sent, {**sent, "Authorization": f"Bearer {token}"})
        ]
        verdicts += [
            (f"bound to {algorithm}", name, expected, seen)
            for (name, expected), seen in zip(ANSWERS.items(), answers, strict=True)
        ]
    plain = (await client.user_tokens("tasks:read"))["access_token"]
    proof = _request(proof_of(Signer.generate(), "GET", URL, plain))
    seen = await judged(verifier, plain, proof)
    return [*verdicts, ("OAuth token", "with a proof", "not_key_bound", seen)]


async def judged(verifier: AccessTokenVerifier, token: str, proof: DpopProof | None = None) -> str:
    """Return the kind and scopes of an accepted token, or the reason why it is refused."""
    try:
        verified = await verifier.verify(token, proof=proof)
    except InvalidTokenError as error:
        return error.reason.value
    return " ".join([verified.kind, *sorted(verified.scopes or ())])


def _request(proof: str) -> DpopProof:
    return DpopProof(proof, "GET", URL)


async def _answered(verifier: AccessTokenVerifier, headers: Mapping[str, str]) -> str:
    """Return what an app that is protected with `verifier` answers to a request."""
    auth = BetterAuth(verifier)
    app = FastAPI()

    @app.get("/api/tasks")
    async def tasks(user: Annotated[User, Depends(auth.require("tasks:read"))]) -> str:
        return " ".join(user.scopes or ())

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        answer = await client.get("/api/tasks", headers=headers)
    refused = re.search('error="([a-z_]+)"', answer.headers.get("WWW-Authenticate", ""))
    return f"{answer.status_code} {answer.json() if refused is None else refused[1]}"
