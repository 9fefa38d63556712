"""The compared libraries, each called as its documentation has an async app call it.

Each function creates one library's client with an empty cache and the library's default settings,
except for a TTL (in seconds) where one is given. The libraries are imported by name, because each
is installed in a virtual environment of its own.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Literal

Answer = Literal["good", "refused", "undecided", "error"]
"""`refused` is a 401, `undecided` a 503; `error` is what an app would answer with a 500."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a client is created from, and the tokens to measure it with.

    `has_ttl` is whether an app can set how long keys are fresh. `certificate` is a file with the
    key and the self-signed certificate of an https issuer. The first of `keys` is published from
    the start and signs the tokens `good`; the second is published in a rotation and signs
    `rotated`. The tokens `unknown` name kids that are never published.
    """

    client: str
    distribution: str
    has_ttl: bool
    issuer: str
    audience: str
    algorithm: str
    certificate: str | None
    keys: list[dict[str, str | list[str]]]
    good: list[str]
    unknown: list[str]
    rotated: list[str]

    @property
    def jwks_url(self) -> str:
        """The URL of the issuer's keys."""
        return f"{self.issuer}jwks"

    def checks(self) -> dict[str, object]:
        """Return what to check, as PyJWT and libraries like it name it."""
        return {"algorithms": [self.algorithm], "audience": self.audience, "issuer": self.issuer}


@dataclass(frozen=True, slots=True)
class Client:
    """One library's key source and verifier, and the exceptions that it raises."""

    verify: Callable[[str], Awaitable[object]]
    invalid: type[Exception]
    unavailable: type[Exception] | tuple[()] = ()
    lifespan: AbstractAsyncContextManager[object] = field(default_factory=nullcontext)
    """What an app enters at start and leaves at shutdown."""

    async def answer(self, token: str) -> Answer:
        """Verify a token, and sort the library's errors into answers."""
        try:
            async with asyncio.timeout(10):
                await self.verify(token)
        except TimeoutError:
            return "undecided"
        except Exception as error:  # noqa: BLE001 - anything else would be a 500 in an app
            if isinstance(error, self.unavailable) or getattr(error, "status_code", None) == 503:  # noqa: PLR2004 - an HTTP status
                return "undecided"
            return "refused" if isinstance(error, self.invalid) else "error"
        return "good"


def better_auth_keys(plan: Plan, ttl: float | None) -> Client:
    """Create our own client."""
    library = import_module("better_auth_keys")
    policy = library.VerificationPolicy(plan.issuer, plan.audience, algorithms=plan.algorithm)
    times = {} if ttl is None else {"default_lifetime": ttl, "min_lifetime": ttl}
    refresh = library.RefreshPolicy(**times)
    key_set = library.RemoteKeySet(plan.jwks_url, algorithms=policy.algorithms, policy=refresh)
    verifier = library.AccessTokenVerifier(key_set, policy)
    unavailable = library.KeySetUnavailableError
    return Client(verifier.verify, library.InvalidTokenError, unavailable, verifier)


def pyjwt(plan: Plan, ttl: float | None) -> Client:
    """Create PyJWT's `PyJWKClient`. It is synchronous; PyJWT documents no other way."""
    jwt = import_module("jwt")
    client = jwt.PyJWKClient(plan.jwks_url, **({} if ttl is None else {"lifespan": ttl}))

    async def verify(token: str) -> None:
        jwt.decode(token, client.get_signing_key_from_jwt(token), **plan.checks())

    return Client(verify, jwt.PyJWTError, jwt.PyJWKClientConnectionError)


def auth0(plan: Plan, ttl: float | None) -> Client:
    """Create auth0-api-python's `ApiClient`. It requires https, discovery and RS256."""
    # httpx must trust the issuer, and load as many other authorities as it usually does.
    own = Path(plan.certificate or "")
    both = own.with_name("authorities.pem")
    both.write_text(Path(import_module("certifi").where()).read_text() + own.read_text())
    os.environ["SSL_CERT_FILE"] = str(both)
    library = import_module("auth0_api_python")
    domain = plan.issuer.removeprefix("https://").rstrip("/")
    times = {} if ttl is None else {"cache_ttl_seconds": ttl}
    options = library.ApiClientOptions(domain=domain, audience=plan.audience, **times)
    verify = library.ApiClient(options).verify_access_token
    invalid = import_module("auth0_api_python.errors").BaseAuthError
    return Client(lambda token: verify(access_token=token), invalid)


def fastapi_jwks(plan: Plan, ttl: float | None) -> Client:
    """Create fastapi-jwks's validator, which its middleware calls in the coroutine."""
    if ttl is not None:
        raise ValueError("fastapi-jwks caches keys for 600 s and takes no TTL")
    models = import_module("fastapi_jwks.models.types")
    payload = import_module("pydantic").create_model("Payload", sub=(str, ...))
    validator = import_module("fastapi_jwks.validators").JWKSValidator[payload](
        decode_config=models.JWTDecodeConfig(audience=[plan.audience], issuer=plan.issuer),
        jwks_config=models.JWKSConfig(url=plan.jwks_url),
    )

    async def verify(token: str) -> None:
        validator.validate_token(token)

    return Client(verify, import_module("fastapi").HTTPException)


def oidc_jwt_verifier(plan: Plan, ttl: float | None) -> Client:
    """Create oidc-jwt-verifier's `AsyncJWTVerifier`. It raises a 401 for a failed fetch."""
    library = import_module("oidc_jwt_verifier")
    config = library.AuthConfig(
        issuer=plan.issuer,
        audience=plan.audience,
        jwks_url=plan.jwks_url,
        allowed_algs=(plan.algorithm,),
        **({} if ttl is None else {"jwks_cache_ttl_s": ttl}),
    )
    verifier = import_module("oidc_jwt_verifier.async_verifier").AsyncJWTVerifier(config)
    return Client(verifier.verify_access_token, library.AuthError, lifespan=aclosing(verifier))


def jwks_client(plan: Plan, ttl: float | None) -> Client:
    """Create jwks-client's `JWTVerifier`."""
    library = import_module("jwks_client")
    client = library.JWKSClient(plan.jwks_url, **({} if ttl is None else {"ttl": ttl}))
    verifier = library.JWTVerifier(client, **plan.checks())
    invalid = import_module("jwt").InvalidTokenError
    return Client(verifier.verify, invalid, library.JWKSFetchError, aclosing(client))


def ryjwt(plan: Plan, ttl: float | None) -> Client:
    """Create ryjwt's `JWKSClient`. Keys stay fresh for its cool-down at least: a TTL sets both."""
    library = import_module("ryjwt")
    names = ("cache_lifetime", "min_cache_lifetime", "cooldown")
    times = {} if ttl is None else dict.fromkeys(names, ttl)
    client = library.JWKSClient(plan.jwks_url, **plan.checks(), **times)
    return Client(client.adecode, library.InvalidTokenError, library.JWKSFetchError)
