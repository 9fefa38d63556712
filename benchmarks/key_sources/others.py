"""The other libraries, each called as its documentation has an async app call it.

They are imported by name and late, for each of them is installed in a virtual environment of its
own and none in ours. Settings are the libraries' defaults, but for a TTL where one is asked for.
"""

import abc
import os
from http import HTTPStatus
from importlib import import_module
from pathlib import Path

from benchmarks.key_sources.plan import Answer, Settings


class Adapter(abc.ABC):
    """What the libraries have in common: nothing to start, and often nothing to stop."""

    _invalid: type[Exception]
    """What the library raises for a bad token."""
    _unavailable: type[Exception] | tuple[()] = ()
    """What it raises when it cannot tell, where it makes a difference."""

    async def start(self) -> None:
        """Do nothing: they fetch on first use."""
        return

    async def stop(self) -> None:
        """Do nothing, unless the library has something to close."""
        return

    async def verify(self, token: str) -> Answer:
        """Verify a token, and sort the library's errors into answers."""
        try:
            await self._verify(token)
        except Exception as error:  # noqa: BLE001 - whatever an app would have to answer with 500
            unavailable = getattr(error, "status_code", None) == HTTPStatus.SERVICE_UNAVAILABLE
            if unavailable or isinstance(error, self._unavailable):
                return "undecided"
            return "refused" if isinstance(error, self._invalid) else "error"
        return "good"

    @abc.abstractmethod
    async def _verify(self, token: str) -> None: ...


class PyJwt(Adapter):
    """PyJWT's `PyJWKClient`. It is synchronous, and PyJWT's documentation knows no other way."""

    def __init__(self, settings: Settings, ttl: float | None) -> None:
        self._jwt = import_module("jwt")
        self._invalid = self._jwt.PyJWTError
        self._unavailable = self._jwt.PyJWKClientConnectionError
        self._settings = settings
        knobs = {} if ttl is None else {"lifespan": ttl}
        self._client = self._jwt.PyJWKClient(settings.jwks_url, **knobs)

    async def _verify(self, token: str) -> None:
        self._jwt.decode(
            token,
            self._client.get_signing_key_from_jwt(token),
            algorithms=[self._settings.algorithm],
            audience=self._settings.audience,
            issuer=self._settings.issuer,
        )


class Auth0(Adapter):
    """auth0-api-python's `ApiClient`. It insists on https, discovery and RS256."""

    def __init__(self, settings: Settings, ttl: float | None) -> None:
        if settings.authority is not None:
            _trust_besides_the_usual(Path(settings.authority))
        library = import_module("auth0_api_python")
        self._invalid = import_module("auth0_api_python.errors").BaseAuthError
        domain = settings.issuer.removeprefix("https://").rstrip("/")
        knobs = {} if ttl is None else {"cache_ttl_seconds": ttl}
        options = library.ApiClientOptions(domain=domain, audience=settings.audience, **knobs)
        self._client = library.ApiClient(options)

    async def _verify(self, token: str) -> None:
        await self._client.verify_access_token(access_token=token)


class FastapiJwks(Adapter):
    """fastapi-jwks: its middleware calls `validate_token`, synchronous, in the coroutine.

    How long keys are cached (600 s) cannot be set.
    """

    def __init__(self, settings: Settings, ttl: float | None) -> None:
        if ttl is not None:
            raise ValueError("fastapi-jwks takes no TTL")
        validators = import_module("fastapi_jwks.validators")
        models = import_module("fastapi_jwks.models.types")
        self._invalid = import_module("fastapi").HTTPException
        payload = import_module("pydantic").create_model("Payload", sub=(str, ...))
        self._validator = validators.JWKSValidator[payload](
            decode_config=models.JWTDecodeConfig(
                audience=[settings.audience], issuer=settings.issuer
            ),
            jwks_config=models.JWKSConfig(url=settings.jwks_url),
        )

    async def _verify(self, token: str) -> None:
        self._validator.validate_token(token)


class OidcJwtVerifier(Adapter):
    """oidc-jwt-verifier's `AsyncJWTVerifier`. A failed fetch is a 401 in its book."""

    def __init__(self, settings: Settings, ttl: float | None) -> None:
        library = import_module("oidc_jwt_verifier")
        self._invalid = library.AuthError
        config = library.AuthConfig(
            issuer=settings.issuer,
            audience=settings.audience,
            jwks_url=settings.jwks_url,
            allowed_algs=(settings.algorithm,),
            **({} if ttl is None else {"jwks_cache_ttl_s": ttl}),
        )
        self._verifier = import_module("oidc_jwt_verifier.async_verifier").AsyncJWTVerifier(config)

    async def stop(self) -> None:
        """Close its connections."""
        await self._verifier.aclose()

    async def _verify(self, token: str) -> None:
        await self._verifier.verify_access_token(token)


class JwksClient(Adapter):
    """jwks-client's `JWTVerifier`."""

    def __init__(self, settings: Settings, ttl: float | None) -> None:
        library = import_module("jwks_client")
        self._invalid = import_module("jwt").InvalidTokenError
        self._unavailable = library.JWKSFetchError
        knobs = {} if ttl is None else {"ttl": ttl}
        self._client = library.JWKSClient(settings.jwks_url, **knobs)
        self._verifier = library.JWTVerifier(
            self._client,
            algorithms=[settings.algorithm],
            audience=settings.audience,
            issuer=settings.issuer,
        )

    async def stop(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def _verify(self, token: str) -> None:
        await self._verifier.verify(token)


class Ryjwt(Adapter):
    """ryjwt's `JWKSClient`. Its keys stay fresh for at least its cool-down: a TTL sets both."""

    def __init__(self, settings: Settings, ttl: float | None) -> None:
        library = import_module("ryjwt")
        self._invalid = library.InvalidTokenError
        self._unavailable = library.JWKSFetchError
        times = {"cache_lifetime": ttl, "min_cache_lifetime": ttl, "cooldown": ttl}
        self._client = library.JWKSClient(
            settings.jwks_url,
            algorithms=[settings.algorithm],
            audience=settings.audience,
            issuer=settings.issuer,
            **({} if ttl is None else times),
        )

    async def _verify(self, token: str) -> None:
        await self._client.adecode(token)


def _trust_besides_the_usual(authority: Path) -> None:
    """Have httpx trust `authority`, and load as many others beside it as it does for anybody."""
    usual = Path(import_module("certifi").where())
    both = authority.with_name("authorities.pem")
    both.write_text(usual.read_text() + authority.read_text())
    os.environ["SSL_CERT_FILE"] = str(both)
