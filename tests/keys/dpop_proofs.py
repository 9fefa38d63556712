"""DPoP proofs as a client makes them, and the tokens that they belong to."""

import itertools
from collections.abc import Mapping
from typing import Final

from better_auth_keys import (
    AccessToken,
    AccessTokenVerifier,
    DpopProof,
    InvalidTokenError,
    Reason,
    Signer,
)
from better_auth_keys.tokens.dpop import token_hash
from better_auth_keys.tokens.jwk import parse_jwk
from tests.keys.signed_tokens import NOW, claims

METHOD: Final = "GET"
URL: Final = "https://api.example.com/api/tasks"
_NUMBERS: Final = itertools.count()


def public_key(client: Signer) -> dict[str, object]:
    """Return the public key of a client, as its proofs show it."""
    return {k: v for k, v in client.public_jwk().items() if k not in {"kid", "alg"}}


def thumbprint(client: Signer) -> str:
    return parse_jwk(client.public_jwk(), client.algorithm).thumbprint


def bound_token(issuer: Signer, client: Signer, **changes: object) -> str:
    """Return a token that only `client` can use."""
    return issuer.mint(claims(**{"cnf": {"jkt": thumbprint(client)}, **changes}))


def signed_proof(
    client: Signer,
    token: str,
    *,
    header: Mapping[str, object] | None = None,
    changes: Mapping[str, object] | None = None,
) -> str:
    """Return a proof for one request. `...` removes a claim or a member of the header."""
    good = {
        "jti": f"proof-{next(_NUMBERS)}",
        "htm": METHOD,
        "htu": URL,
        "iat": NOW,
        "ath": token_hash(token),
    }
    contents = {k: v for k, v in {**good, **(changes or {})}.items() if v is not ...}
    members = {"typ": "dpop+jwt", "jwk": public_key(client), **(header or {})}
    return client.mint(contents, header={k: v for k, v in members.items() if v is not ...})


def request(*proofs: str, method: str = METHOD, url: str = URL) -> DpopProof:
    """Return what a request with these `DPoP` header fields says about its proof."""
    return DpopProof(proofs, method, url)


async def outcome(
    verifier: AccessTokenVerifier, token: str, proof: DpopProof | None
) -> AccessToken | Reason:
    """Return the verified token, or the reason why the request is refused."""
    try:
        return await verifier.verify(token, proof=proof)
    except InvalidTokenError as error:
        return error.reason
