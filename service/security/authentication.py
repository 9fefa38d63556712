"""Bearer authentication: request -> verified token -> `CurrentUser` (RFC 6750 section 2.1).

`current_user` authenticates a request once, for every kind of route.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from prometheus_client import Counter
from starlette.types import Scope

from better_auth_keys import (
    AccessToken,
    InvalidTokenError,
    KeySetUnavailableError,
    Reason,
    TooManyInvalidTokensError,
    allows_scope,
    bearer_token,
    counted_address,
    is_banned,
)
from service.http.binding import MISSING, Binding, Call
from service.http.connections.overload import OverloadedError
from service.http.json_body import read_json
from service.http.problem_document import (
    BannedError,
    EmailNotVerifiedError,
    InsufficientScopeError,
)
from service.security.owner import Owner
from service.security.rate_limits import IPV6_PREFIX, Allowance
from service.security.waiting import noticing
from service.services import Services, services_of
from service.system.metrics import VERIFICATIONS

_FOUND: Final = "current_user"
_CLIENTS_KEPT: Final = 4_096

_ACCEPTED: Final = VERIFICATIONS.labels("accepted", "")
# Shows operators whether tokens are still signed for the audience that the next release refuses.
_PREVIOUS_AUDIENCE: Final = VERIFICATIONS.labels("accepted", "previous_audience")

READ: Final = "tasks:read"
WRITE: Final = "tasks:write"
SCOPES: Final = (READ, WRITE)


@dataclass(frozen=True, slots=True)
class User:
    """The user of a request: the verified token, and the owner of rows that it identifies."""

    token: AccessToken
    owner: Owner


async def current_user(request: Request) -> tuple[User, Allowance]:
    """Return the request's user and their rate limit. Each request is verified and counted once.

    Raises what `authenticate` and `RateLimits.hit` raise.
    """
    found = request.scope.get(_FOUND)
    if found is None:
        user = await authenticate(request)
        allowance = await services_of(request).rate_limits.hit("tasks", user.owner.id)
        found = request.scope[_FOUND] = (user, allowance)
    user, allowance = found
    return user, allowance


def found_user(scope: Scope) -> User | None:
    """Return the request's user, or None if it has not been authenticated."""
    found = scope.get(_FOUND)
    return None if found is None else found[0]


async def authenticate(request: Request) -> User:
    """Verify the request's token and return its user.

    If it has to wait for the issuer's keys, the request is set aside, so that it holds no place
    that a request with a known key could use.

    Raises `CredentialsMissingError`, `CredentialsUnclearError`, `BannedError`, `OverloadedError` if
    too many requests wait for keys, and what the verifier raises.
    """
    scope = request.scope
    bearer = bearer_token(scope["headers"], scope["query_string"])
    services = services_of(request)
    address = scope.get("client")
    try:
        client = None if address is None else _counted_as(address[0])
        verification = services.verifier.verify(bearer, client=client)
        token = await noticing(verification, partial(services.admission.set_aside, scope))
    except InvalidTokenError as error:
        _refused(error.reason).inc()
        raise
    except (KeySetUnavailableError, TooManyInvalidTokensError, OverloadedError) as error:
        VERIFICATIONS.labels("undecided", error.code).inc()
        raise
    is_current = not services.current_audiences.isdisjoint(token.audiences)
    (_ACCEPTED if is_current else _PREVIOUS_AUDIENCE).inc()
    if is_banned(token.claims):
        raise BannedError
    return User(token, Owner.of(token))


class BearerAuthentication(SecurityBase):
    """Reads the access token from the Authorization header and nowhere else."""

    def __init__(self) -> None:
        self.model = HTTPBearerModel(
            bearerFormat="JWT",
            description="A JWT from Better Auth. Get one with `GET /api/auth/token` of the web app,"
            " or by signing in with `POST /api/auth/login`.",
        )
        self.scheme_name = "AccessToken"

    async def __call__(self, request: Request) -> User:
        """Return the current user. It works on any route, but only `AuthenticatedRoute` is fast."""
        user, _ = await current_user(request)
        return user


CurrentUser = Annotated[User, Depends(BearerAuthentication())]


class AuthenticatedRoute(APIRoute):
    """An operation for users. It authenticates the request before it reads the body.

    FastAPI reads and parses the body before it runs dependencies. A client without a token would
    cause that work, and learn what is wrong with its body.
    """

    operation: Callable[[Request], Coroutine[Any, Any, Response]]

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of this operation, which calls the endpoint by a `Binding`."""
        endpoint = Binding(self, BearerAuthentication)

        async def operation(request: Request) -> Response:
            user, allowance = await current_user(request)
            admission = services_of(request).admission
            admission.admit_user(user.owner.id)
            try:
                body = await read_json(request) if endpoint.takes_body else MISSING
                response = await endpoint(Call(request, user, body))
            finally:
                admission.leave_user(user.owner.id)
            response.raw_headers += allowance.raw_headers()
            return response

        self.operation = operation
        return operation


def require_access(services: Services, user: User, scope: str) -> None:
    """Raise an error unless the user may call operations that need this scope.

    Raises `InsufficientScopeError` or `EmailNotVerifiedError`.
    """
    require_scope(user, scope)
    if services.require_verified_email:
        require_verified_email(user)


def require_scope(user: User, scope: str) -> None:
    """Raise `InsufficientScopeError` if the token is limited to scopes that do not include this."""
    if not allows_scope(user.token.scopes, scope):
        raise InsufficientScopeError(scope)


def require_verified_email(user: User) -> None:
    """Raise `EmailNotVerifiedError` unless the token's claim `emailVerified` is true."""
    if user.token.claims.get("emailVerified") is not True:
        raise EmailNotVerifiedError


@cache
def _refused(reason: Reason) -> Counter:
    return VERIFICATIONS.labels("refused", reason.value)


@lru_cache(_CLIENTS_KEPT)
def _counted_as(address: str) -> str:
    return counted_address(address, IPV6_PREFIX)
