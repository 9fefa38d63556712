"""Bearer authentication: request -> verified token -> `CurrentUser` (RFC 6750 section 2.1)."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase

from better_auth_keys import (
    AccessToken,
    AccessTokenVerifier,
    InvalidTokenError,
    KeySetUnavailableError,
)
from service.http.json_body import JsonRequest, require_json
from service.http.problem_document import (
    BannedError,
    CredentialsMissingError,
    CredentialsUnclearError,
    EmailNotVerifiedError,
    InsufficientScopeError,
)
from service.security.owner import Owner
from service.security.rate_limits import RateLimits
from service.system.metrics import VERIFICATIONS

_SCHEME: Final = "bearer"

_ACCEPTED: Final = VERIFICATIONS.labels("accepted", "")

READ: Final = "tasks:read"
WRITE: Final = "tasks:write"
SCOPES: Final = (READ, WRITE)


@dataclass(frozen=True, slots=True)
class User:
    """Who sent the request: their verified token, and the owner that it makes them."""

    token: AccessToken
    owner: Owner


class AuthenticatedRoute(APIRoute):
    """An operation for users: who asks is settled before the body is read.

    FastAPI reads and parses the body before any dependency runs; a stranger would get that for free
    and be told of his mistakes in it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler of this operation."""
        handle = super().get_route_handler()
        takes_body = self.body_field is not None

        async def authenticated(request: Request) -> Response:
            user = await authenticate(request)
            request.state.user = user
            allowance = await limits_of(request).hit("tasks", user.owner.id)
            if takes_body:
                require_json(request)
            response = await handle(JsonRequest(request.scope, request.receive))
            if allowance is not None:
                response.headers.update(allowance.headers())
            return response

        return authenticated


def limits_of(request: Request) -> RateLimits:
    """Give the service's rate limits."""
    limits = request.app.state.rate_limits
    assert isinstance(limits, RateLimits)  # noqa: S101 - app.py wires nothing else
    return limits


async def authenticate(request: Request) -> User:
    """Verify the request's token.

    Raises `CredentialsMissingError`, `CredentialsUnclearError`, `BannedError`, and what the
    verifier raises.
    """
    verifier = request.app.state.verifier
    assert isinstance(verifier, AccessTokenVerifier)  # noqa: S101 - app.py wires nothing else
    bearer = _bearer_token(request)
    try:
        token = await verifier.verify(bearer)
    except InvalidTokenError as error:
        VERIFICATIONS.labels("refused", error.reason.value).inc()
        raise
    except KeySetUnavailableError as error:
        VERIFICATIONS.labels("undecided", error.code).inc()
        raise
    _ACCEPTED.inc()
    if token.claims.get("banned"):
        # Of Better Auth's admin plugin. It ends the sessions of whom it bans; this ends their
        # tokens too.
        raise BannedError
    return User(token, Owner.of(token))


class BearerAuthentication(SecurityBase):
    """Takes the access token from the Authorization header and nowhere else."""

    def __init__(self) -> None:
        self.model = HTTPBearerModel(
            bearerFormat="JWT",
            description="A JWT from Better Auth: `GET /api/auth/token` of the web app.",
        )
        self.scheme_name = "AccessToken"

    async def __call__(self, request: Request) -> User:
        """Give the user whom `AuthenticatedRoute` has found."""
        user = request.state.user
        assert isinstance(user, User)  # noqa: S101 - fails closed on any other kind of route
        return user


CurrentUser = Annotated[User, Depends(BearerAuthentication())]


def require_scope(user: User, scope: str) -> None:
    """Raise `InsufficientScopeError` if the token is limited to scopes and this is not among them.

    Better Auth's session tokens carry no `scope`: they speak for the user without limits.
    """
    if user.token.scopes is not None and scope not in user.token.scopes:
        raise InsufficientScopeError(scope)


def require_verified_email(request: Request, user: User) -> None:
    """Raise `EmailNotVerifiedError` if the service asks for it and the token does not say so."""
    verified = user.token.claims.get("emailVerified") is True
    if request.app.state.requires_verified_email and not verified:
        raise EmailNotVerifiedError


def _bearer_token(request: Request) -> str:
    if "access_token" in request.query_params:
        # It is in somebody's log by now (RFC 9700 section 4.3.2).
        raise CredentialsUnclearError("Send the token in the Authorization header, not in the URL.")
    values = request.headers.getlist("authorization")
    if len(values) > 1:
        raise CredentialsUnclearError("Send one Authorization header.")
    scheme, _, token = values[0].partition(" ") if values else ("", "", "")
    if scheme.lower() != _SCHEME:
        raise CredentialsMissingError
    # Further spaces may stand between the two (RFC 9110 section 11.4); none belong to the token.
    return token.strip(" ")
