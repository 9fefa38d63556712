"""`IssuerSet`: verify the tokens of several issuers, each with a verifier of its own.

The `iss` of a token is unverified when it selects the verifier, and it does nothing else: that
verifier checks the whole token, its issuer included, with its own keys. A token of an issuer that
no verifier has is refused without a fetch.

A user is identified by `AccessToken.identity`: two issuers can use the same subject.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

from better_auth_keys.errors import InvalidTokenError, Reason
from better_auth_keys.tokens.claims import AccessToken
from better_auth_keys.tokens.compact import parse_compact
from better_auth_keys.tokens.dpop import DpopVerifier
from better_auth_keys.tokens.dpop_proof import DpopProof
from better_auth_keys.tokens.verified_cache import VerifiedTokenCache
from better_auth_keys.tokens.verifier import AccessTokenVerifier


class IssuerSet:
    """Verifies tokens of several issuers. It is used as one `AccessTokenVerifier`.

    Each verifier needs a `VerifiedTokenCache` and a `RevocationList` of its own, because a subject
    of one issuer is not that of another.

    Raises `ValueError` if there is no verifier, or if two accept the same issuer or have the same
    authority: their users could not be told apart.
    """

    def __init__(self, verifiers: Iterable[AccessTokenVerifier]) -> None:
        self._verifiers = tuple(verifiers)
        self._by_issuer = {
            issuer: verifier
            for verifier in self._verifiers
            for issuer in verifier.policy.all_issuers
        }
        if not self._verifiers:
            raise ValueError("an issuer set needs at least one verifier")
        names = [name for verifier in self._verifiers for name in _names(verifier)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two verifiers accept the issuer {twice[0]}")
        self._started = AsyncExitStack()
        self._max_characters = max(
            verifier.policy.max_token_characters for verifier in self._verifiers
        )

    async def __aenter__(self) -> Self:
        """Start fetching the keys of all issuers in the background, without waiting for them."""
        async with AsyncExitStack() as started:
            for verifier in self._verifiers:
                await started.enter_async_context(verifier)
            self._started = started.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop fetching keys."""
        await self._started.aclose()

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Keep the key sets up to date while an application runs: `FastAPI(lifespan=...)`."""
        async with self:
            yield

    @property
    def dpop(self) -> DpopVerifier | None:
        """The verifier of DPoP proofs, if all verifiers share one. Otherwise None."""
        first = self._verifiers[0].dpop
        return first if all(verifier.dpop is first for verifier in self._verifiers) else None

    async def verify(
        self, token: str, *, proof: DpopProof | None = None, client: str | None = None
    ) -> AccessToken:
        """Verify a token with the verifier of its issuer, and return its contents.

        Raises what `AccessTokenVerifier.verify` raises.
        """
        if len(token) > self._max_characters:
            raise InvalidTokenError(Reason.TOO_LARGE)
        key = VerifiedTokenCache.key_of(token)
        for verifier in self._verifiers:
            if verifier.remembers(key):
                return await verifier.verify(token, proof=proof, client=client)
        unverified = parse_compact(token)
        unverified_issuer = unverified.unverified_claims.get("iss")
        found = (
            self._by_issuer.get(unverified_issuer) if isinstance(unverified_issuer, str) else None
        )
        if found is None:
            error = InvalidTokenError(Reason.WRONG_ISSUER)
            unverified.describe(error)
            raise error
        # It parses the token again, which costs little beside a signature.
        return await found.verify(token, proof=proof, client=client)


def _names(verifier: AccessTokenVerifier) -> frozenset[str]:
    """Return the names under which a verifier's users are known."""
    policy = verifier.policy
    authorities = {policy.authority_of(issuer) for issuer in policy.all_issuers}
    return policy.all_issuers | authorities
