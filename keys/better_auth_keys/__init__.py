"""Verify the access tokens (JWTs) of an issuer with its published keys, without a shared secret.

For a Better Auth at `https://app.example.com`::

    async with AccessTokenVerifier.for_better_auth("https://app.example.com") as verifier:
        token = await verifier.verify(compact_jwt)
        print(token.issuer, token.subject)

`verify` raises `InvalidTokenError` for an invalid token (answer 401), and `KeySetUnavailableError`
if the keys cannot be fetched (answer 503 with `Retry-After`). README.md has a whole FastAPI app.
"""

from better_auth_keys.bearer import bearer_token, credentials_of
from better_auth_keys.better_auth import (
    BASE_PATH,
    JWKS_PATH,
    better_auth_jwks_url,
    better_auth_oauth_issuer,
    neon_jwks_url,
)
from better_auth_keys.client_address import (
    counted_address,
    normalized_address,
)
from better_auth_keys.clock import (
    Clock,
    SystemClock,
)
from better_auth_keys.errors import (
    CredentialsMissingError,
    CredentialsUnclearError,
    DpopNonceRequiredError,
    InvalidDpopProofError,
    InvalidTokenError,
    KeysError,
    KeySetUnavailableError,
    Reason,
    RevocationsUnavailableError,
    SigningKeyError,
    TooManyDpopProofsError,
    TooManyInvalidTokensError,
)
from better_auth_keys.key_sets.fetch import (
    FetchedKeys,
    FetchError,
    FetchLimits,
    FetchTracing,
    HttpTransport,
    JwksFetcher,
    check_key_url,
    tls_context,
    tls_context_for,
)
from better_auth_keys.key_sets.key_cache import KeyCache
from better_auth_keys.key_sets.key_set import (
    KeySet,
    KeySetState,
    KeySetStatus,
    KeySnapshot,
    LeftOutKey,
    MalformedKeySetError,
    StaticKeySet,
    parse_jwks,
)
from better_auth_keys.key_sets.refresh_policy import RefreshPolicy
from better_auth_keys.key_sets.remote import RemoteKeySet
from better_auth_keys.origins import (
    host_of,
    is_loopback,
    origin_of,
)
from better_auth_keys.retry_after import parse_retry_after
from better_auth_keys.revocation import (
    SESSION_CLAIM,
    Revocation,
    RevocationKind,
    RevocationList,
)
from better_auth_keys.rights import (
    Organization,
    allows_scope,
    is_banned,
    organization_of,
    roles_of,
)
from better_auth_keys.strict_json import StrictDecoder
from better_auth_keys.tokens.claims import (
    AccessToken,
)
from better_auth_keys.tokens.dpop import DpopVerifier
from better_auth_keys.tokens.dpop_nonces import DpopNonces
from better_auth_keys.tokens.dpop_proof import DpopProof
from better_auth_keys.tokens.issuer_set import IssuerSet
from better_auth_keys.tokens.jwk import (
    ALGORITHMS,
    Algorithm,
    UnusableKey,
    UnusableKeyError,
    VerificationKey,
    canonical_algorithm,
    parse_jwk,
)
from better_auth_keys.tokens.policy import (
    Profile,
    TokenKind,
    VerificationPolicy,
)
from better_auth_keys.tokens.signer import (
    Signer,
)
from better_auth_keys.tokens.used_proofs import ProofMemory, UsedProofs
from better_auth_keys.tokens.verified_cache import (
    CacheCounters,
    VerifiedTokenCache,
)
from better_auth_keys.tokens.verifier import (
    AccessTokenVerifier,
)

__all__ = [
    "ALGORITHMS",
    "BASE_PATH",
    "JWKS_PATH",
    "SESSION_CLAIM",
    "AccessToken",
    "AccessTokenVerifier",
    "Algorithm",
    "CacheCounters",
    "Clock",
    "CredentialsMissingError",
    "CredentialsUnclearError",
    "DpopNonceRequiredError",
    "DpopNonces",
    "DpopProof",
    "DpopVerifier",
    "FetchError",
    "FetchLimits",
    "FetchTracing",
    "FetchedKeys",
    "HttpTransport",
    "InvalidDpopProofError",
    "InvalidTokenError",
    "IssuerSet",
    "JwksFetcher",
    "KeyCache",
    "KeySet",
    "KeySetState",
    "KeySetStatus",
    "KeySetUnavailableError",
    "KeySnapshot",
    "KeysError",
    "LeftOutKey",
    "MalformedKeySetError",
    "Organization",
    "Profile",
    "ProofMemory",
    "Reason",
    "RefreshPolicy",
    "RemoteKeySet",
    "Revocation",
    "RevocationKind",
    "RevocationList",
    "RevocationsUnavailableError",
    "Signer",
    "SigningKeyError",
    "StaticKeySet",
    "StrictDecoder",
    "SystemClock",
    "TokenKind",
    "TooManyDpopProofsError",
    "TooManyInvalidTokensError",
    "UnusableKey",
    "UnusableKeyError",
    "UsedProofs",
    "VerificationKey",
    "VerificationPolicy",
    "VerifiedTokenCache",
    "allows_scope",
    "bearer_token",
    "better_auth_jwks_url",
    "better_auth_oauth_issuer",
    "canonical_algorithm",
    "check_key_url",
    "counted_address",
    "credentials_of",
    "host_of",
    "is_banned",
    "is_loopback",
    "neon_jwks_url",
    "normalized_address",
    "organization_of",
    "origin_of",
    "parse_jwk",
    "parse_jwks",
    "parse_retry_after",
    "roles_of",
    "tls_context",
    "tls_context_for",
]
