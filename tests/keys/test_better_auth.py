"""Verifiers for a Better Auth and for Neon's: which keys, issuers and audiences they have."""

import pytest

from better_auth_keys import (
    AccessTokenVerifier,
    Reason,
    RemoteKeySet,
    RevocationList,
    Signer,
    TokenKind,
)
from better_auth_keys.testing import HttpIssuer
from tests.keys.oauth_tokens import API
from tests.keys.signed_tokens import NOW, ORIGIN, POLICY, claims, refusal, verifier_of


def accepted(verifier: AccessTokenVerifier) -> dict[TokenKind, set[str]]:
    """Return the issuers that a verifier accepts, for each kind of token."""
    policy = verifier.policy
    kinds: tuple[TokenKind, ...] = ("session", "oauth")
    return {kind: {*policy.issuers_of(kind)} for kind in kinds}


def keys_of(verifier: AccessTokenVerifier) -> str:
    """Return the URL of a verifier's keys."""
    assert isinstance(verifier._key_set, RemoteKeySet)
    return verifier._key_set._fetcher.url


@pytest.mark.parametrize(
    ("base_path", "base"),
    [
        ("/api/auth", f"{ORIGIN}/api/auth"),
        ("/auth/", f"{ORIGIN}/auth"),
        ("/", ORIGIN),
        ("", ORIGIN),
    ],
)
def test_base_path_is_that_of_the_keys_and_of_the_oauth_issuer(base_path: str, base: str) -> None:
    verifier = AccessTokenVerifier.for_better_auth(f"{ORIGIN}/", base_path=base_path, oauth=True)
    assert keys_of(verifier) == f"{base}/jwks"
    assert accepted(verifier) == {"session": {ORIGIN}, "oauth": {base}}


@pytest.mark.parametrize("base_path", ["api/auth", "/a?b", "/a b", "/a#b"])
def test_base_path_that_is_no_path_is_refused(base_path: str) -> None:
    with pytest.raises(ValueError, match=r"slash|query"):
        AccessTokenVerifier.for_better_auth(ORIGIN, base_path=base_path)


def test_oauth_tokens_are_accepted_on_request_only() -> None:
    verifier = AccessTokenVerifier.for_better_auth(ORIGIN)
    assert accepted(verifier) == {"session": {ORIGIN}, "oauth": set()}
    assert keys_of(verifier) == f"{ORIGIN}/api/auth/jwks"
    assert verifier.policy == POLICY


async def test_api_has_an_audience_of_its_own(signer: Signer) -> None:
    made = AccessTokenVerifier.for_better_auth(ORIGIN, audience=API, single_audience=True)
    verifier = verifier_of(signer, made.policy)
    assert (await verifier.verify(signer.mint(claims(aud=API)))).audiences == {API}
    assert await refusal(verifier, signer.mint(claims())) is Reason.WRONG_AUDIENCE
    several = signer.mint(claims(aud=[API, ORIGIN]))
    assert await refusal(verifier, several) is Reason.SEVERAL_AUDIENCES


async def test_row54_neon_has_its_keys_below_its_url_and_its_origin_as_issuer(
    signer: Signer, server: HttpIssuer
) -> None:
    origin = server.origin
    tokens = {
        banned: signer.mint(
            {
                "iss": origin,
                "aud": origin,
                "sub": "alice",
                "iat": NOW,
                "exp": NOW + 900,
                "banned": banned,
                "o": {"id": "o1", "slug": "acme", "role": "admin"},
            }
        )
        for banned in (False, True)
    }
    server.elsewhere["/neondb/auth/.well-known/jwks.json"] = server.reply
    made = AccessTokenVerifier.for_neon(f"{origin}/neondb/auth")
    made._now = lambda: NOW
    async with made as verifier:
        token = await verifier.verify(tokens[False])
        assert (token.identity, token.kind) == ((origin, "alice"), "session")
        assert await refusal(verifier, tokens[True]) is Reason.BANNED
    assert server.requests[0].path == "/neondb/auth/.well-known/jwks.json"


def test_revocations_are_an_option_of_each_verifier() -> None:
    revocations = RevocationList()
    verifiers = [
        AccessTokenVerifier.for_better_auth(ORIGIN, revocations=revocations),
        AccessTokenVerifier.for_neon(ORIGIN, revocations=revocations),
        AccessTokenVerifier.for_issuer(ORIGIN, API, revocations=revocations),
    ]
    assert all(verifier._revocations is revocations for verifier in verifiers)
