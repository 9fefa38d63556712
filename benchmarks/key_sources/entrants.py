"""Who is compared: us, and the usual choices at the versions that were current in November 2026."""

from typing import Final

from benchmarks.key_sources.contest import Entrant

OURS: Final = Entrant(
    name="keys",
    distribution="better-auth-resource-server",
    adapter="benchmarks.key_sources.ours:Keys",
)
_OTHERS: Final = "benchmarks.key_sources.others"
OTHERS: Final = (
    Entrant(
        name="PyJWT PyJWKClient",
        distribution="PyJWT",
        adapter=f"{_OTHERS}:PyJwt",
        requirement="PyJWT[crypto]==2.15.1",
        remark="synchronous, called in the coroutine; cool-down 30 s",
    ),
    Entrant(
        name="auth0-api-python",
        distribution="auth0-api-python",
        adapter=f"{_OTHERS}:Auth0",
        requirement="auth0-api-python==1.0.0b10",
        algorithm="RS256",
        https=True,
        remark="takes RS256 over https only; its discovery requests are not counted",
    ),
    Entrant(
        name="fastapi-jwks",
        distribution="fastapi-jwks",
        adapter=f"{_OTHERS}:FastapiJwks",
        requirement="fastapi-jwks==1.0.1",
        has_ttl=False,
        remark="synchronous, called in the coroutine as its middleware does; never refetches"
        " before its fixed 10 minutes are over",
    ),
    Entrant(
        name="oidc-jwt-verifier",
        distribution="oidc-jwt-verifier",
        adapter=f"{_OTHERS}:OidcJwtVerifier",
        requirement="oidc-jwt-verifier[async]==0.1.6",
    ),
    Entrant(
        name="jwks-client",
        distribution="jwks-client",
        adapter=f"{_OTHERS}:JwksClient",
        requirement="jwks-client==0.1.2",
        remark="stale for 1 h; cool-down 30 s",
    ),
    Entrant(
        name="ryjwt",
        distribution="ryjwt",
        adapter=f"{_OTHERS}:Ryjwt",
        requirement="ryjwt==0.2.2",
        python=(3, 12),
        remark="stale for 24 h; cool-down 30 s, and 1 s in the outage for the TTL's sake",
    ),
)
