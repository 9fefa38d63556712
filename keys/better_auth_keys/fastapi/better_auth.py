"""`BetterAuth`: the tokens of one Better Auth, as dependencies of a FastAPI app."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any, Generic, Self, TypeVar, cast, overload

from fastapi import APIRouter

from better_auth_keys.better_auth import BASE_PATH
from better_auth_keys.fastapi.authenticator import Authenticator
from better_auth_keys.fastapi.dependencies import (
    Check,
    CurrentUser,
    OptionalUser,
    Requirement,
    organization_check,
    requirement,
    role_check,
)
from better_auth_keys.fastapi.user import TokenVerifier, U, User
from better_auth_keys.metadata import ResourceMetadata, metadata_for, metadata_path
from better_auth_keys.origins import origin_of
from better_auth_keys.string_sets import string_set
from better_auth_keys.tokens.dpop import DpopVerifier
from better_auth_keys.tokens.verifier import AccessTokenVerifier

V = TypeVar("V")


class BetterAuth(Generic[U]):
    """The tokens of one Better Auth. Create one object for an app, and start it with the app.

    `issuer` is the URL where Better Auth runs, or a verifier of your own, such as an
    `AccessTokenVerifier` with another policy or an `IssuerSet`. With a URL, `audience` is what a
    token must be for (one of several; by default Better Auth's origin), and `base_path` is Better
    Auth's option `basePath`. With `oauth`, OAuth access tokens are accepted too: require their
    scopes. With `dpop`, so are tokens that are bound to a key, with a proof for each request; its
    `base_url` is where clients reach your app. A verifier of your own has a `dpop` itself.

    `user` is the model that is created of each token's claims: a pydantic model or a dataclass with
    the claims that you need. A token whose claims do not fit is refused with 401, and the log says
    why. `realm` is part of the challenges, and `scheme_name` is the name in the
    OpenAPI document, which two objects of one app must not share.

    Raises `ValueError` for a URL without https, unless it is a loopback host, and for a `dpop`
    without `base_url`.
    """

    user: CurrentUser[U]
    """The current user. Without a valid token, the request is refused."""
    optional_user: OptionalUser[U]
    """The current user, or None for a request without a token. An invalid token is refused."""

    @overload
    def __init__(
        self: "BetterAuth[User]",
        issuer: str | TokenVerifier,
        *,
        audience: str | Collection[str] | None = None,
        base_path: str = BASE_PATH,
        oauth: bool = False,
        dpop: DpopVerifier | None = None,
        realm: str = "api",
        scheme_name: str = "BetterAuth",
    ) -> None: ...

    @overload
    def __init__(
        self,
        issuer: str | TokenVerifier,
        *,
        user: type[U],
        audience: str | Collection[str] | None = None,
        base_path: str = BASE_PATH,
        oauth: bool = False,
        dpop: DpopVerifier | None = None,
        realm: str = "api",
        scheme_name: str = "BetterAuth",
    ) -> None: ...

    def __init__(  # noqa: PLR0913 - each is a setting of its own, all but one with a default
        self,
        issuer: str | TokenVerifier,
        *,
        user: type[Any] = User,
        audience: str | Collection[str] | None = None,
        base_path: str = BASE_PATH,
        oauth: bool = False,
        dpop: DpopVerifier | None = None,
        realm: str = "api",
        scheme_name: str = "BetterAuth",
    ) -> None:
        if isinstance(issuer, str):
            self._verifier: TokenVerifier = AccessTokenVerifier.for_better_auth(
                issuer, base_path=base_path, audience=audience, oauth=oauth, dpop=_based(dpop)
            )
            named = f"Better Auth at {origin_of(issuer)}"
        elif audience is not None or oauth or base_path != BASE_PATH or dpop is not None:
            raise TypeError(
                "audience, base_path, oauth and dpop belong to a URL; a verifier has its own"
            )
        else:
            self._verifier, named = issuer, "Better Auth"
        model = cast("type[U]", user)  # the overloads say that U is User by default
        self._authenticator = Authenticator(self._verifier, model, realm)
        self.user = CurrentUser(self._authenticator, scheme_name, named)
        self.optional_user = OptionalUser(self._authenticator, scheme_name, named)
        self._requirements: dict[tuple[str, frozenset[str]], Requirement[U]] = {}
        self._entered = 0
        # A verifier of your own may have been started by itself.
        self._authenticator.started = not isinstance(issuer, str)

    @overload
    @classmethod
    def neon(
        cls,
        url: str,
        *,
        dpop: DpopVerifier | None = None,
        realm: str = "api",
        scheme_name: str = "BetterAuth",
    ) -> "BetterAuth[User]": ...

    @overload
    @classmethod
    def neon(
        cls,
        url: str,
        *,
        user: type[V],
        dpop: DpopVerifier | None = None,
        realm: str = "api",
        scheme_name: str = "BetterAuth",
    ) -> "BetterAuth[V]": ...

    @classmethod
    def neon(
        cls,
        url: str,
        *,
        user: type[Any] = User,
        dpop: DpopVerifier | None = None,
        realm: str = "api",
        scheme_name: str = "BetterAuth",
    ) -> "BetterAuth[Any]":
        """Create an object for Neon's managed Better Auth at `url`, which Neon's console shows.

        Raises `ValueError` for a URL without https, and for a `dpop` without `base_url`.
        """
        verifier = AccessTokenVerifier.for_neon(url, dpop=_based(dpop))
        created: BetterAuth[Any] = BetterAuth(
            verifier, user=user, realm=realm, scheme_name=scheme_name
        )
        created._authenticator.started = False
        return created

    def require(self, *scopes: str) -> Requirement[U]:
        """Return a dependency: the current user, if their token has all of these scopes.

        Better Auth's session tokens have no scopes and are not limited.
        """
        if not scopes or any(scope.split() != [scope] for scope in scopes):
            raise ValueError("name each scope as an argument of its own: require('a', 'b')")
        wanted = sorted(scopes)
        return self._requirement(
            "scopes",
            scopes,
            lambda connection, user: self._authenticator.check_scopes(
                connection, user.scopes, wanted
            ),
        )

    def require_role(self, *roles: str) -> Requirement[U]:
        """Return a dependency: the current user, if they have one of these roles.

        Roles are the claim `role` of Better Auth's admin plugin.
        """
        if not roles or "" in roles:
            raise ValueError("name at least one role: require_role('admin')")
        return self._requirement("role", roles, role_check(roles))

    def require_organization(self, *, role: str | Collection[str] = ()) -> Requirement[U]:
        """Return a dependency: the current user, if they have an active organization.

        With `role`, they must have that role in it, or one of several. That the organization is the
        one of a path or a row is for the route to check.
        """
        roles = string_set(role, "role")
        return self._requirement("organization", roles, organization_check(roles))

    def metadata_router(
        self,
        resource: str,
        *,
        authorization_servers: Collection[str] | None = None,
        scopes: Collection[str] = (),
    ) -> APIRouter:
        """Return a router with the metadata of your API at the URL `resource` (RFC 9728).

        From now on, challenges name its address, so include the router in the app:
        `app.include_router(auth.metadata_router("https://api.example.com"))`. Name `scopes` only if
        you accept OAuth access tokens. `authorization_servers` are the issuers of those tokens, as
        in the policy of an `AccessTokenVerifier`.
        """
        path = metadata_path(resource)
        servers: Collection[str] = authorization_servers or ()
        if authorization_servers is None and isinstance(self._verifier, AccessTokenVerifier):
            servers = self._verifier.policy.issuers_of("oauth")
        dpop = self._authenticator.dpop
        document = metadata_for(
            resource,
            authorization_servers=servers,
            scopes=scopes,
            dpop_algorithms=() if dpop is None else dpop.algorithms,
        )
        router = APIRouter(tags=["metadata"])

        @router.get(
            path,
            summary="Get protected resource metadata",
            response_model_exclude_defaults=True,  # members without a value are omitted
        )
        async def resource_metadata() -> ResourceMetadata:
            """Return how to get a token for this API (RFC 9728)."""
            return document

        self._authenticator.challenger.metadata_url = f"{origin_of(resource)}{path}"
        return router

    async def __aenter__(self) -> Self:
        """Start fetching keys in the background, without waiting for them."""
        self._entered += 1
        if self._entered == 1:
            await self._verifier.__aenter__()
            self._authenticator.started = True
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop fetching keys."""
        self._entered -= 1
        if self._entered == 0:
            self._authenticator.started = False
            await self._verifier.__aexit__(None, None, None)

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Keep the keys up to date while an app runs: `FastAPI(lifespan=auth.lifespan)`.

        In a lifespan of your own, use `async with auth:`.
        """
        async with self:
            yield

    def _requirement(self, kind: str, names: Collection[str], check: Check) -> Requirement[U]:
        """Return one function for the same arguments, so that it can be overridden in tests."""
        key = (kind, frozenset(names))
        if key not in self._requirements:
            self._requirements[key] = requirement(self._authenticator, self.user, check)
        return self._requirements[key]


def _based(dpop: DpopVerifier | None) -> DpopVerifier | None:
    if dpop is not None and dpop.base_url is None:
        raise ValueError(
            "dpop needs the URL at which clients reach your app:"
            ' DpopVerifier(base_url="https://api.example.com")'
        )
    return dpop
