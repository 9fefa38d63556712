"""`AccessTokenVerifier`: token -> `AccessToken`, or the reason why not.

The order of checks: form and size, header, claims, and only then the key and its signature. No
cryptography and no network is spent on a token that cannot pass; nothing leaves before the
signature has been checked. The claims that were checked are the ones that were signed: both are
read from the same bytes.

NOT checked here: scopes (they belong to an operation, so to the service) and anything about the
user's account.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from time import time
from typing import Final, Self

from better_auth_keys.errors import InvalidTokenError, Reason
from better_auth_keys.key_sets.key_set import KeySet
from better_auth_keys.key_sets.remote import RemoteKeySet
from better_auth_keys.origins import origin_of
from better_auth_keys.revocation import RevocationList
from better_auth_keys.tokens.claims import AccessToken, check_times, read_claims
from better_auth_keys.tokens.compact import UnverifiedToken, parse_compact
from better_auth_keys.tokens.jwk import MAX_KID_LENGTH, canonical_algorithm
from better_auth_keys.tokens.policy import VerificationPolicy
from better_auth_keys.tokens.verified_cache import CacheCounters, VerifiedToken, VerifiedTokenCache

JWKS_PATH: Final = "/api/auth/jwks"
_TOKEN_TYPES: Final = {
    # Better Auth writes no `typ`; other JWT libraries write JWT.
    "better-auth": frozenset({None, "jwt"}),
    "rfc9068": frozenset({"at+jwt"}),
}


class AccessTokenVerifier:
    """Verifies compact JWTs against one issuer's key set. Safe to share between all requests.

    An async context manager: inside of it the key set is kept up to date. `lifespan` is the same
    for an ASGI application.
    """

    def __init__(
        self,
        key_set: KeySet,
        policy: VerificationPolicy,
        *,
        cache: VerifiedTokenCache | None = None,
        revocations: RevocationList | None = None,
        now: Callable[[], float] = time,
    ) -> None:
        self._key_set = key_set
        self._policy = policy
        self._cache = VerifiedTokenCache() if cache is None else cache
        self._revocations = revocations
        self._now = now

    @classmethod
    def for_better_auth(cls, url: str) -> Self:
        """Make a verifier for the Better Auth behind `url`, as it is when nothing is configured.

        It signs with EdDSA, calls issuer and audience by its origin, and publishes its keys under
        `/api/auth/jwks`. Whatever differs is said to the constructor instead. Raises `ValueError`
        for a URL without TLS, loopback excepted.
        """
        origin = origin_of(url)
        policy = VerificationPolicy(issuers=origin, audiences=origin)
        key_set = RemoteKeySet(f"{url.rstrip('/')}{JWKS_PATH}", algorithms=policy.algorithms)
        return cls(key_set, policy)

    async def __aenter__(self) -> Self:
        """Start fetching keys ahead of need; nothing waits for the first fetch."""
        await self._key_set.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop fetching keys."""
        await self._key_set.stop()

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Keep the key set up to date while an application runs: `FastAPI(lifespan=...)`.

        Yields nothing: Starlette would take the verifier for the application's state.
        """
        async with self:
            yield

    @property
    def cache_counters(self) -> CacheCounters:
        """How often a token had been verified before."""
        return self._cache.counters

    async def verify(self, token: str) -> AccessToken:
        """Verify a token and give its contents.

        Raises `InvalidTokenError` when it is bad, `KeySetUnavailableError` when that cannot be
        told. Waits only where the token's key is not known yet.
        """
        if len(token) > self._policy.max_token_characters:
            raise InvalidTokenError(Reason.TOO_LARGE)
        cache_key = self._cache.key_of(token)
        known = self._cache.get(cache_key)
        if known is not None:
            if await self._still_holds(known):
                return known.token
            self._cache.drop(cache_key)
        verified = await self._verify_afresh(token)
        self._cache.put(cache_key, verified)
        return verified.token

    async def _still_holds(self, known: VerifiedToken) -> bool:
        """Tell whether a token that was good is good now: its times, and its key.

        Where it is not, verifying it afresh finds the reason.
        """
        try:
            check_times(known.token, self._policy, self._now())
            self._refuse_revoked_key(known.token.key_id)
            self._refuse_revoked_token(known.token)
        except InvalidTokenError:
            return False
        return known.is_of(await self._key_set.find(known.token.key_id))

    async def _verify_afresh(self, token: str) -> VerifiedToken:
        unverified = parse_compact(token)
        try:
            return await self._verify_parsed(unverified)
        except InvalidTokenError as error:
            error.unverified_key_id = unverified.unverified_header.get("kid")
            error.unverified_issuer = unverified.unverified_claims.get("iss")
            raise

    async def _verify_parsed(self, unverified: UnverifiedToken) -> VerifiedToken:
        algorithm, kid = self._check_header(unverified.unverified_header)
        contents = read_claims(unverified.unverified_claims, kid, self._policy, self._now())
        # Before the key is looked up: it is no matter whether anybody still serves it.
        self._refuse_revoked_key(kid)
        key = await self._key_set.find(kid)
        if key is None:
            raise InvalidTokenError(Reason.UNKNOWN_KEY)
        if key.algorithm != algorithm:
            raise InvalidTokenError(Reason.KEY_ALGORITHM_MISMATCH)
        if not key.verifies(unverified.signing_input, unverified.signature):
            raise InvalidTokenError(Reason.BAD_SIGNATURE)
        # After the signature: whom a forged token names is nobody's business.
        self._refuse_revoked_token(contents)
        return VerifiedToken(contents, key.algorithm, key.thumbprint)

    def _refuse_revoked_key(self, kid: str) -> None:
        if self._revocations is not None:
            self._revocations.check_key(kid)

    def _refuse_revoked_token(self, token: AccessToken) -> None:
        if self._revocations is not None:
            self._revocations.check_token(token)

    def _check_header(self, header: Mapping[str, object]) -> tuple[str, str]:
        """Give algorithm and kid. Members that name keys (jku, jwk, x5u, x5c) are not looked at."""
        named = header.get("alg")
        algorithm = canonical_algorithm(named) if isinstance(named, str) else None
        if algorithm not in self._policy.algorithms:
            raise InvalidTokenError(Reason.ALGORITHM_NOT_ALLOWED)
        # We understand no extension, so any `crit` is one too many; an empty one, or one that
        # names registered members, is malformed besides (RFC 7515 section 4.1.11). `b64` may only
        # come with `crit` (RFC 7797 section 6).
        if "crit" in header or "b64" in header:
            raise InvalidTokenError(Reason.CRITICAL_HEADER)
        if _token_type(header) not in _TOKEN_TYPES[self._policy.profile]:
            raise InvalidTokenError(Reason.WRONG_TYPE)
        kid = header.get("kid")
        if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH:
            raise InvalidTokenError(Reason.BAD_KEY_ID)
        return algorithm, kid


def _token_type(header: Mapping[str, object]) -> str | None:
    """Give `typ` in lower case and without `application/` (RFC 7515 section 4.1.9)."""
    token_type = header.get("typ")
    if "typ" not in header:
        return None
    if not isinstance(token_type, str):
        raise InvalidTokenError(Reason.WRONG_TYPE)
    return token_type.lower().removeprefix("application/")
