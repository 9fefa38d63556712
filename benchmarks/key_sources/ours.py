"""Our own key source, as a contestant."""

from benchmarks.key_sources.plan import Answer, Settings
from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    KeySetUnavailableError,
    RefreshPolicy,
    RemoteKeySet,
    VerificationPolicy,
)


class Keys:
    """`AccessTokenVerifier` over a `RemoteKeySet`, started as the lifespan of an app starts it."""

    def __init__(self, settings: Settings, ttl: float | None) -> None:
        policy = VerificationPolicy(
            issuers=settings.issuer,
            audiences=settings.audience,
            algorithms=settings.algorithm,
        )
        refresh = (
            RefreshPolicy()
            if ttl is None
            else RefreshPolicy(default_lifetime=ttl, min_lifetime=ttl)
        )
        key_set = RemoteKeySet(
            settings.jwks_url,
            algorithms=policy.algorithms,
            ca_file=settings.authority,
            policy=refresh,
        )
        self._verifier = AccessTokenVerifier(key_set, policy)

    async def start(self) -> None:
        """Begin fetching."""
        await self._verifier.__aenter__()

    async def verify(self, token: str) -> Answer:
        """Verify a token."""
        try:
            await self._verifier.verify(token)
        except InvalidTokenError:
            return "refused"
        except KeySetUnavailableError:
            return "undecided"
        return "good"

    async def stop(self) -> None:
        """End the background task."""
        await self._verifier.__aexit__(None, None, None)
