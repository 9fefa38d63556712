"""`AccessTokenVerifier`: verify a compact JWT and return its contents.

The order of checks: size and form, header, claims, key, signature, revocation, DPoP proof. So no
cryptography and no network request is spent on a token that cannot be valid. Nothing is returned
before the signature has been verified, and the claims are read from the bytes that were signed.

NOT checked: scopes, which belong to an operation, and the state of the user's account.
"""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from time import time
from typing import Self

from better_auth_keys.better_auth import (
    BASE_PATH,
    better_auth_jwks_url,
    better_auth_oauth_issuer,
    neon_jwks_url,
)
from better_auth_keys.errors import InvalidTokenError, Reason
from better_auth_keys.key_sets.key_set import KeySet
from better_auth_keys.key_sets.remote import RemoteKeySet
from better_auth_keys.origins import origin_of
from better_auth_keys.revocation import RevocationList
from better_auth_keys.tokens.claims import AccessToken, check_times, read_claims
from better_auth_keys.tokens.compact import UnverifiedToken, parse_compact
from better_auth_keys.tokens.dpop import DpopVerifier, check_scheme
from better_auth_keys.tokens.dpop_proof import DpopProof
from better_auth_keys.tokens.header import check_header
from better_auth_keys.tokens.jwk import DEFAULT_ALGORITHMS, VerificationKey
from better_auth_keys.tokens.policy import VerificationPolicy
from better_auth_keys.tokens.unverified_work import UnverifiedWork
from better_auth_keys.tokens.verified_cache import CacheCounters, VerifiedToken, VerifiedTokenCache


class AccessTokenVerifier:
    """Verifies compact JWTs against one issuer's key set. Share one between all requests.

    Use it as an async context manager, which keeps the key set up to date, or pass `lifespan` to
    an ASGI application.
    """

    def __init__(  # noqa: PLR0913 - each is a part of its own, all but two with a default
        self,
        key_set: KeySet,
        policy: VerificationPolicy,
        *,
        cache: VerifiedTokenCache | None = None,
        revocations: RevocationList | None = None,
        dpop: DpopVerifier | None = None,
        now: Callable[[], float] = time,
    ) -> None:
        self._key_set = key_set
        self._policy = policy
        self._cache = VerifiedTokenCache() if cache is None else cache
        self._revocations = revocations
        self._dpop = DpopVerifier(now=now) if dpop is None else dpop
        self._now = now
        self._work = UnverifiedWork()

    @classmethod
    def for_better_auth(  # noqa: PLR0913 - each is a choice of its own, all with a default
        cls,
        url: str,
        *,
        base_path: str = BASE_PATH,
        audience: str | Collection[str] | None = None,
        oauth: bool = False,
        single_audience: bool = False,
        revocations: RevocationList | None = None,
        dpop: DpopVerifier | None = None,
    ) -> Self:
        """Create a verifier for a Better Auth at `url` that signs with EdDSA, its default.

        By default its session tokens name its origin as issuer and audience. `audience` is what a
        token must name instead, one of several if you list them. With `oauth`, OAuth access tokens
        of the oauth-provider plugin are accepted too: check their `scopes`. For `single_audience`
        see the policy, and for anything else use the constructor. What is in `revocations`, such as
        those of a `RevocationFeed`, is refused. `dpop` has other rules for DPoP proofs. Raises
        `ValueError` for a URL without https, unless it is a loopback host.
        """
        origin = origin_of(url)
        audiences = origin if audience is None else audience
        policy = VerificationPolicy(
            issuers=origin,
            audiences=audiences,
            oauth_issuers=better_auth_oauth_issuer(url, base_path) if oauth else (),
            single_audience=single_audience,
        )
        key_set = RemoteKeySet(better_auth_jwks_url(url, base_path))
        return cls(key_set, policy, revocations=revocations, dpop=dpop)

    @classmethod
    def for_neon(
        cls,
        url: str,
        *,
        audience: str | Collection[str] | None = None,
        revocations: RevocationList | None = None,
        dpop: DpopVerifier | None = None,
    ) -> Self:
        """Create a verifier for Neon's managed Better Auth at `url`.

        The origin of `url` is the issuer and, by default, the audience. A token of a banned user
        (claim `banned`) is refused. `revocations`, `dpop` and errors are as in `for_better_auth`.
        """
        origin = origin_of(url)
        audiences = origin if audience is None else audience
        policy = VerificationPolicy(origin, audiences, refuse_banned=True)
        key_set = RemoteKeySet(neon_jwks_url(url))
        return cls(key_set, policy, revocations=revocations, dpop=dpop)

    @classmethod
    def for_issuer(  # noqa: PLR0913 - each is a choice of its own, all but two with a default
        cls,
        issuer: str,
        audience: str | Collection[str],
        *,
        algorithms: str | Collection[str] = DEFAULT_ALGORITHMS,
        single_audience: bool = False,
        revocations: RevocationList | None = None,
        dpop: DpopVerifier | None = None,
    ) -> Self:
        """Create a verifier for the OAuth access tokens (RFC 9068) of an authorization server.

        Its metadata (RFC 8414 or OpenID Connect) names its keys. `revocations`,
        `dpop` and errors are as in `for_better_auth`.
        """
        policy = VerificationPolicy(
            issuer,
            audience,
            algorithms=algorithms,
            profile="rfc9068",
            single_audience=single_audience,
        )
        key_set = RemoteKeySet(issuer, algorithms=policy.algorithms, discover=True)
        return cls(key_set, policy, revocations=revocations, dpop=dpop)

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
    def policy(self) -> VerificationPolicy:
        """Which tokens are accepted."""
        return self._policy

    @property
    def cache_counters(self) -> CacheCounters:
        """How often tokens were in the cache of verified tokens."""
        return self._cache.counters

    def remembers(self, cache_key: bytes) -> bool:
        """Return whether a token is in the cache, by its `VerifiedTokenCache.key_of`."""
        return cache_key in self._cache

    @property
    def dpop(self) -> DpopVerifier:
        """What verifies DPoP proofs, and writes challenges for them."""
        return self._dpop

    async def verify(
        self, token: str, *, proof: DpopProof | None = None, client: str | None = None
    ) -> AccessToken:
        """Verify a token and return its contents.

        Pass `proof` if the request used the scheme `DPoP`, and only then: a token that is bound to
        a key is refused without it, and one that is not bound is refused with it.

        `client` names who sent it, such as an address: a client that sends many invalid tokens gets
        only some of them judged (see `unverified_work`). Without it there is no such bound.

        Waits only if the token's key is not known yet. Raises `InvalidTokenError` if the token is
        invalid (`InvalidDpopProofError` if its proof is), `KeySetUnavailableError` if the issuer's
        keys, the revocations or the memory of proofs are not available, and
        `TooManyInvalidTokensError` for a client beyond its bound.
        """
        if len(token) > self._policy.max_token_characters:
            raise InvalidTokenError(Reason.TOO_LARGE)
        cache_key = self._cache.key_of(token)
        known = self._cache.get(cache_key)
        if known is not None:
            key_id = known.token.key_id
            if self._still_holds(known) and known.is_of(await self._key_set.find(key_id)):
                if proof is not None or known.token.bound_key is not None:
                    await self._dpop.verify(token, known.token.bound_key, proof)
                return known.token
            # Verifying it again finds the reason.
            self._cache.drop(cache_key)
        unverified = parse_compact(token)
        try:
            verified = await self._verify_parsed(unverified, proof, client)
        except InvalidTokenError as error:
            unverified.describe(error)
            raise
        self._cache.put(cache_key, verified)
        await self._dpop.verify(token, verified.token.bound_key, proof)
        return verified.token

    def _still_holds(self, known: VerifiedToken) -> bool:
        """Return whether the times of a cached token are still good, and it is not revoked."""
        try:
            check_times(known.token, self._policy, self._now())
            if self._revocations is not None:
                self._revocations.check_key(known.token.key_id)
                self._revocations.check_token(known.token)
        except InvalidTokenError:
            return False
        return True

    async def _verify_parsed(
        self, unverified: UnverifiedToken, proof: DpopProof | None, client: str | None
    ) -> VerifiedToken:
        algorithm, kid, kind = check_header(unverified.unverified_header, self._policy)
        contents = read_claims(unverified.unverified_claims, kid, kind, self._policy, self._now())
        check_scheme(contents.bound_key, proof)
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


def _why_not_signed(
    key: VerificationKey, unverified: UnverifiedToken, algorithm: str
) -> Reason | None:
    """Return why the token's signature is not the key's, or None if it is."""
    if key.algorithm != algorithm:
        return Reason.KEY_ALGORITHM_MISMATCH
    if not key.verifies(unverified.signing_input, unverified.signature):
        return Reason.BAD_SIGNATURE
    return None
