"""The dependencies of routes. FastAPI calls them; `BetterAuth` creates them."""

from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from typing import Annotated, Generic, TypeAlias

from fastapi import Depends
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from better_auth_keys.errors import CredentialsMissingError
from better_auth_keys.fastapi.authenticator import Authenticator
from better_auth_keys.fastapi.errors import AuthError
from better_auth_keys.fastapi.user import U, User

Requirement: TypeAlias = Callable[[HTTPConnection, U], Awaitable[U]]
Check: TypeAlias = Callable[[HTTPConnection, User], None]
"""Raises `AuthError` unless the user has a right."""


class _BearerDependency(SecurityBase, Generic[U]):
    def __init__(self, authenticator: Authenticator[U], scheme_name: str, issuer: str) -> None:
        self._authenticator = authenticator
        self.scheme_name = scheme_name
        text = f"A JWT from {issuer}."
        if authenticator.dpop is not None:
            # OpenAPI would need a second scheme, which FastAPI would resolve for each request.
            text += (
                " Send a token that is bound to a key with the scheme DPoP instead, and a proof."
            )
        self.model = HTTPBearerModel(bearerFormat="JWT", description=text)


class CurrentUser(_BearerDependency[U]):
    """The user of a request. Scopes of `Security(auth.user, scopes=[...])` are required as well."""

    async def __call__(self, connection: HTTPConnection, scopes: SecurityScopes) -> U:
        """Return the user. Raises `AuthError`."""
        return await self._authenticator.authenticate(connection, scopes.scopes)


class OptionalUser(_BearerDependency[U]):
    """The user of a request, or None if it has no token. An invalid token is refused."""

    async def __call__(self, connection: HTTPConnection, scopes: SecurityScopes) -> U | None:
        """Return the user or None. Raises `AuthError`."""
        try:
            return await self._authenticator.authenticate(connection, scopes.scopes)
        except AuthError as error:
            if isinstance(error.__cause__, CredentialsMissingError):
                return None
            raise


def requirement(
    authenticator: Authenticator[U], current: CurrentUser[U], check: Check
) -> Requirement[U]:
    """Return a dependency: the current user, if `check` does not raise an error.

    It depends on `current`, so that an override of `auth.user` applies here as well.
    """

    async def required(connection: HTTPConnection, user: Annotated[U, Depends(current)]) -> U:
        check(connection, authenticator.rights_of(connection, user))
        return user

    return required


def role_check(roles: Collection[str]) -> Check:
    """Return a check that the user has one of these roles."""

    def check(_connection: HTTPConnection, user: User) -> None:
        if user.roles.isdisjoint(roles):
            raise AuthError(
                HTTPStatus.FORBIDDEN,
                "insufficient_role",
                f"This needs the role {' or '.join(sorted(roles))}.",
            )

    return check


def organization_check(roles: Collection[str]) -> Check:
    """Return a check that the user has an active organization, and in it one of these roles."""

    def check(_connection: HTTPConnection, user: User) -> None:
        if user.organization is None:
            raise AuthError(
                HTTPStatus.FORBIDDEN,
                "organization_required",
                "This needs an active organization. Select one, then get another token.",
            )
        if roles and user.organization.roles.isdisjoint(roles):
            raise AuthError(
                HTTPStatus.FORBIDDEN,
                "insufficient_role",
                f"This needs the role {' or '.join(sorted(roles))} in the organization.",
            )

    return check
