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

from better_auth_keys.errors import (
    InvalidTokenError,
    KeysError,
    KeySetUnavailableError,
    Reason,
    RevocationsUnavailableError,
    SigningKeyError,
)
from better_auth_keys.key_sets.key_set import (
    KeySet,
    KeySetStatus,
    KeySnapshot,
    LeftOutKey,
    StaticKeySet,
)
from better_auth_keys.key_sets.remote import RefreshPolicy, RemoteKeySet
from better_auth_keys.revocation import Revocation, RevocationList
from better_auth_keys.tokens.claims import AccessToken
from better_auth_keys.tokens.jwk import UnusableKey
from better_auth_keys.tokens.policy import VerificationPolicy
from better_auth_keys.tokens.signer import Signer
from better_auth_keys.tokens.verified_cache import CacheCounters, VerifiedTokenCache
from better_auth_keys.tokens.verifier import AccessTokenVerifier

__all__ = [
    "AccessToken",
    "AccessTokenVerifier",
    "CacheCounters",
    "InvalidTokenError",
    "KeySet",
    "KeySetStatus",
    "KeySetUnavailableError",
    "KeySnapshot",
    "KeysError",
    "LeftOutKey",
    "Reason",
    "RefreshPolicy",
    "RemoteKeySet",
    "Revocation",
    "RevocationList",
    "RevocationsUnavailableError",
    "Signer",
    "SigningKeyError",
    "StaticKeySet",
    "UnusableKey",
    "VerificationPolicy",
    "VerifiedTokenCache",
]
