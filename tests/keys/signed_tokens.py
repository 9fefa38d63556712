"""Tokens like those of Better Auth, and the reasons why others are refused."""

import base64
import json
from typing import Final

from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    KeySet,
    Reason,
    Signer,
    StaticKeySet,
    VerificationPolicy,
)
from better_auth_keys.testing.claims import changed, session_claims
from better_auth_keys.tokens.jwk import parse_jwk

NOW: Final = 1_900_000_000
ORIGIN: Final = "https://app.example.com"
POLICY: Final = VerificationPolicy(issuers=ORIGIN, audiences=ORIGIN)


def claims(**changes: object) -> dict[str, object]:
    """Return the claims of a good token with changes; `...` removes a claim."""
    good = session_claims(ORIGIN, ORIGIN, "alice", NOW - 10)
    return changed(good, {"emailVerified": False, **changes})


def b64(data: bytes | dict[str, object]) -> str:
    raw = json.dumps(data).encode() if isinstance(data, dict) else data
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def key_set_of(*signers: Signer) -> StaticKeySet:
    algorithms = {"EdDSA", "RS256"}
    return StaticKeySet([parse_jwk(signer.public_jwk(), algorithms) for signer in signers])


def verifier_of(
    key_set: KeySet | Signer, policy: VerificationPolicy = POLICY, now: float = NOW
) -> AccessTokenVerifier:
    keys = key_set_of(key_set) if isinstance(key_set, Signer) else key_set
    return AccessTokenVerifier(keys, policy, now=lambda: now)


async def refusal(verifier: AccessTokenVerifier, token: str) -> Reason:
    """Return the reason why a token is refused; fail if it is accepted."""
    try:
        await verifier.verify(token)
    except InvalidTokenError as error:
        return error.reason
    raise AssertionError("the token was accepted")
