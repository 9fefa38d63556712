"""`AccessTokenVerifier`: verify a compact JWT and return its contents.

The order of checks: size and form, header, claims, key, signature, revocation. So no cryptography
and no network request is spent on a token that cannot be valid. Nothing is returned before the
signature has been verified, and the claims are read from the bytes that were signed.

NOT checked: scopes, which belong to an operation, and the state of the user's account.
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
from better_auth_keys.tokens.jwk import MAX_KID_LENGTH, VerificationKey, canonical_algorithm
from better_auth_keys.tokens.policy import VerificationPolicy
from better_auth_keys.tokens.unverified_work import UnverifiedWork
from better_auth_keys.tokens.verified_cache import CacheCounters, VerifiedToken, VerifiedTokenCache

JWKS_PATH: Final = "/api/auth/jwks"
_TOKEN_TYPES: Final = {
    # Better Auth sets no `typ`; other JWT libraries set JWT.
    "better-auth": frozenset({None, "jwt"}),
    "rfc9068": frozenset({"at+jwt"}),
}


class AccessTokenVerifier:
    """Verifies compact JWTs against one issuer's key set. Share one between all requests.

    Use it as an async context manager, which keeps the key set up to date, or pass `lifespan` to
    an ASGI application.
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
        self._work = UnverifiedWork()

    @classmethod
    def for_better_auth(cls, url: str) -> Self:
        """Create a verifier for a Better Auth at `url` that has the default configuration.

        By default Better Auth signs with EdDSA, uses its origin as issuer and audience, and serves
        its keys at `/api/auth/jwks`. For anything else use the constructor. Raises `ValueError` for
        a URL without https, unless it is a loopback host.
        """
        origin = origin_of(url)
        policy = VerificationPolicy(issuers=origin, audiences=origin)
        key_set = RemoteKeySet(f"{url.rstrip('/')}{JWKS_PATH}", algorithms=policy.algorithms)
        return cls(key_set, policy)

    async def __aenter__(self) -> Self:
        """Start fetching keys in the background, without waiting for them."""
        await self._key_set.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop fetching keys."""
        await self._key_set.stop()

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Keep the key set up to date while an application runs: `FastAPI(lifespan=...)`.

        Yields None, because Starlette takes anything else for the application's state.
        """
        async with self:
            yield

    @property
    def cache_counters(self) -> CacheCounters:
        """How often tokens were in the cache of verified tokens."""
        return self._cache.counters

    async def verify(self, token: str, *, client: str | None = None) -> AccessToken:
        """Verify a token and return its contents.

        `client` names who sent it, such as an address: a client that sends many invalid tokens gets
        only some of them judged (see `unverified_work`). Without it there is no such bound.

        Waits only if the token's key is not known yet. Raises `InvalidTokenError` if the token is
        invalid, `KeySetUnavailableError` if the issuer's keys or the revocations are not available,
        and `TooManyInvalidTokensError` for a client beyond its bound.
        """
        if len(token) > self._policy.max_token_characters:
            raise InvalidTokenError(Reason.TOO_LARGE)
        cache_key = self._cache.key_of(token)
        known = self._cache.get(cache_key)
        if known is not None:
            key_id = known.token.key_id
            if self._still_holds(known) and known.is_of(await self._key_set.find(key_id)):
                return known.token
            # Verifying it again finds the reason.
            self._cache.drop(cache_key)
        unverified = parse_compact(token)
        try:
            verified = await self._verify_parsed(unverified, client)
        except InvalidTokenError as error:
            error.unverified_key_id = unverified.unverified_header.get("kid")
            error.unverified_issuer = unverified.unverified_claims.get("iss")
            error.unverified_audience = unverified.unverified_claims.get("aud")
            raise
        self._cache.put(cache_key, verified)
        return verified.token

    def _still_holds(self, known: VerifiedToken) -> bool:
        """Return whether the times of a cached token are still good, and it is not revoked."""
        try:
            check_times(known.token, self._policy, self._now())
            self._refuse_revoked_key(known.token.key_id)
            self._refuse_revoked_token(known.token)
        except InvalidTokenError:
            return False
        return True

    async def _verify_parsed(
        self, unverified: UnverifiedToken, client: str | None
    ) -> VerifiedToken:
        algorithm, kid = self._check_header(unverified.unverified_header)
        contents = read_claims(unverified.unverified_claims, kid, self._policy, self._now())
        # Before the key is looked up, because the issuer may still serve a revoked key.
        self._refuse_revoked_key(kid)
        if client is None:
            key = await self._verify_signature(unverified, algorithm, kid)
        else:
            self._work.begin(client, contents.subject)
            try:
                key = await self._verify_signature(unverified, algorithm, kid)
            except InvalidTokenError:
                self._work.refused(client, contents.subject)
                raise
            finally:
                self._work.end(client)
            self._work.verified(client, contents.subject)
        # Once more, because the token may have waited for its key for seconds.
        self._refuse_revoked_key(kid)
        # After the signature, so that a forged token cannot mark a session as refused.
        self._refuse_revoked_token(contents)
        return VerifiedToken(contents, key.algorithm, key.thumbprint)

    async def _verify_signature(
        self, unverified: UnverifiedToken, algorithm: str, kid: str
    ) -> VerificationKey:
        """Return the key whose signature the token has."""
        key = await self._key_set.find(kid)
        if key is None:
            raise InvalidTokenError(Reason.UNKNOWN_KEY)
        reason = _why_not_signed(key, unverified, algorithm)
        if reason is None:
            return key
        other = await self._key_set.replacement(key)
        if other is None or _why_not_signed(other, unverified, algorithm) is not None:
            raise InvalidTokenError(reason)
        return other

    def _refuse_revoked_key(self, kid: str) -> None:
        if self._revocations is not None:
            self._revocations.check_key(kid)

    def _refuse_revoked_token(self, token: AccessToken) -> None:
        if self._revocations is not None:
            self._revocations.check_token(token)

    def _check_header(self, header: Mapping[str, object]) -> tuple[str, str]:
        """Return algorithm and kid. Members that name keys (jku, jwk, x5u, x5c) are ignored."""
        named = header.get("alg")
        algorithm = canonical_algorithm(named) if isinstance(named, str) else None
        if algorithm not in self._policy.algorithms:
            raise InvalidTokenError(Reason.ALGORITHM_NOT_ALLOWED)
        # No extension is supported, so any `crit` is refused; an empty one, or one that names
        # registered members, is malformed as well (RFC 7515 section 4.1.11). `b64` needs `crit`
        # (RFC 7797 section 6).
        if "crit" in header or "b64" in header:
            raise InvalidTokenError(Reason.CRITICAL_HEADER)
        if _token_type(header) not in _TOKEN_TYPES[self._policy.profile]:
            raise InvalidTokenError(Reason.WRONG_TYPE)
        kid = header.get("kid")
        if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID_LENGTH:
            raise InvalidTokenError(Reason.BAD_KEY_ID)
        return algorithm, kid


def _why_not_signed(
    key: VerificationKey, unverified: UnverifiedToken, algorithm: str
) -> Reason | None:
    """Return why the token's signature is not the key's, or None if it is."""
    if key.algorithm != algorithm:
        return Reason.KEY_ALGORITHM_MISMATCH
    if not key.verifies(unverified.signing_input, unverified.signature):
        return Reason.BAD_SIGNATURE
    return None


def _token_type(header: Mapping[str, object]) -> str | None:
    """Return `typ` in lower case, without `application/` (RFC 7515 section 4.1.9)."""
    token_type = header.get("typ")
    if "typ" not in header:
        return None
    if not isinstance(token_type, str):
        raise InvalidTokenError(Reason.WRONG_TYPE)
    return token_type.lower().removeprefix("application/")
