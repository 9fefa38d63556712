"""Tokens and keys: verify an issuer's JWTs against its published keys, with no shared secret.

In any FastAPI app, where `https://app.example.com` runs Better Auth::

    verifier = AccessTokenVerifier.for_better_auth("https://app.example.com")
    app = FastAPI(lifespan=verifier.lifespan)

    async def access_token(bearer: Annotated[Bearer, Depends(HTTPBearer())]) -> AccessToken:
        try:
            return await verifier.verify(bearer.credentials)
        except InvalidTokenError:
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"}) from None
        except KeySetUnavailableError as error:  # unknown is not invalid: nobody is logged out
            raise HTTPException(503, headers={"Retry-After": f"{error.retry_after:.0f}"}) from None

    @app.get("/me")
    async def me(token: Annotated[AccessToken, Depends(access_token)]) -> str:
        return token.subject

(`Bearer` is FastAPI's `HTTPAuthorizationCredentials`.)
"""

from better_auth_keys.clock import (
    Clock,
    SystemClock,
)
from better_auth_keys.errors import (
    InvalidTokenError,
    KeysError,
    KeySetUnavailableError,
    Reason,
    RevocationsUnavailableError,
    SigningKeyError,
)
from better_auth_keys.key_sets.fetch import (
    FetchedKeys,
    FetchError,
    FetchLimits,
    JwksFetcher,
    check_key_url,
)
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
from better_auth_keys.key_sets.remote import (
    RefreshPolicy,
    RemoteKeySet,
)
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
from better_auth_keys.strict_json import StrictDecoder
from better_auth_keys.tokens.claims import (
    AccessToken,
)
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
    VerificationPolicy,
)
from better_auth_keys.tokens.signer import (
    Signer,
)
from better_auth_keys.tokens.verified_cache import (
    CacheCounters,
    VerifiedTokenCache,
)
from better_auth_keys.tokens.verifier import (
    JWKS_PATH,
    AccessTokenVerifier,
)

__all__ = [
    "ALGORITHMS",
    "JWKS_PATH",
    "SESSION_CLAIM",
    "AccessToken",
    "AccessTokenVerifier",
    "Algorithm",
    "CacheCounters",
    "Clock",
    "FetchError",
    "FetchLimits",
    "FetchedKeys",
    "InvalidTokenError",
    "JwksFetcher",
    "KeySet",
    "KeySetState",
    "KeySetStatus",
    "KeySetUnavailableError",
    "KeySnapshot",
    "KeysError",
    "LeftOutKey",
    "MalformedKeySetError",
    "Profile",
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
    "UnusableKey",
    "UnusableKeyError",
    "VerificationKey",
    "VerificationPolicy",
    "VerifiedTokenCache",
    "canonical_algorithm",
    "check_key_url",
    "host_of",
    "is_loopback",
    "origin_of",
    "parse_jwk",
    "parse_jwks",
    "parse_retry_after",
]
