"""The account API: sessions at Better Auth, for clients that do not use its web app."""

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from better_auth_keys import CredentialsMissingError, InvalidTokenError
from service.accounts.issuer_client import BetterAuth, Caller, Operation
from service.accounts.schemas import (
    AccessTokenAnswer,
    Login,
    Logout,
    Refresh,
    Registered,
    Registration,
    Session,
)
from service.accounts.sessions import Sessions, account_of
from service.http.json_body import JsonRoute
from service.http.openapi import described_problem, problems
from service.http.problem_document import AccountsUnsupportedError
from service.security.audit import Event
from service.security.authentication import authenticate
from service.services import services_of


class AccountRoute(JsonRoute):
    """A public operation, rate-limited by client address."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Apply the rate limit before reading the body, so that password guessing costs little."""
        handle = super().get_route_handler()
        operation = _OPERATIONS[self.path]

        async def limited(request: Request) -> Response:
            if operation != "logout":  # it needs Better Auth only for a refresh token
                _require_accounts(request)
            await services_of(request).rate_limits.hit_address(operation, _address(request))
            return await handle(request)

        return limited


_OPERATIONS: Final[Mapping[str, Operation]] = {
    "/api/auth/register": "register",
    "/api/auth/login": "login",
    "/api/auth/refresh": "refresh",
    "/api/auth/logout": "logout",
}
router: Final = APIRouter(prefix="/api/auth", tags=["accounts"], route_class=AccountRoute)

_ANY: Final = problems(
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.NOT_IMPLEMENTED,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
)


def _require_accounts(request: Request) -> None:
    """Raise `AccountsUnsupportedError` if the service runs without accounts (`ACCOUNT_API`)."""
    if not services_of(request).account_api:
        raise AccountsUnsupportedError


async def _better_auth(request: Request) -> BetterAuth:
    return services_of(request).better_auth


async def _sessions(request: Request) -> Sessions:
    return services_of(request).sessions


async def _caller(request: Request, response: Response) -> Caller:
    # No cache may store a response that contains tokens.
    response.headers["Cache-Control"] = "no-store"
    operation = _OPERATIONS[request.scope["route"].path]
    return Caller(_address(request), request.headers.get("user-agent", ""), operation)


def _address(request: Request) -> str:
    """Return the client's address, which a proxy in TRUSTED_PROXIES may have named."""
    return request.client.host if request.client is not None else "127.0.0.1"


_BetterAuth = Annotated[BetterAuth, Depends(_better_auth)]
_Sessions = Annotated[Sessions, Depends(_sessions)]
_Caller = Annotated[Caller, Depends(_caller)]


@router.post(
    "/register",
    operation_id="register",
    summary="Create an account",
    status_code=HTTPStatus.CREATED,
    responses={
        **_ANY,
        **described_problem(
            HTTPStatus.CONFLICT, "An account with this e-mail address already exists."
        ),
        HTTPStatus.ACCEPTED.value: {
            "model": Registered,
            "description": "The account was created. Verify its e-mail address, then sign in.",
        },
    },
)
async def register(  # noqa: PLR0913, PLR0917 - each parameter is a dependency
    request: Request,
    body: Registration,
    better_auth: _BetterAuth,
    sessions: _Sessions,
    caller: _Caller,
    response: Response,
) -> Session | Registered:
    """Create an account at Better Auth and sign in.

    If Better Auth requires a verified e-mail address, the response is 202 and has no tokens.
    """
    await services_of(request).rate_limits.hit("account", body.email.lower())
    signed_in = await better_auth.sign_up(body.name, body.email, body.password, caller)
    if signed_in.token is None:
        response.status_code = HTTPStatus.ACCEPTED
        return Registered(user=account_of(signed_in))
    session = await sessions.open(signed_in, caller)
    services_of(request).security_log.write(Event.REGISTERED, request, subject=session.user.id)
    return session


@router.post(
    "/login",
    operation_id="login",
    summary="Sign in",
    responses={
        **_ANY,
        **described_problem(HTTPStatus.UNAUTHORIZED, "The e-mail address or password is wrong."),
        **described_problem(HTTPStatus.FORBIDDEN, "The e-mail address is not verified yet."),
    },
)
async def login(
    request: Request,
    body: Login,
    better_auth: _BetterAuth,
    sessions: _Sessions,
    caller: _Caller,
) -> Session:
    """Sign in with an e-mail address and a password.

    The access token is a JWT that Better Auth issued. Use the refresh token to get the next one.
    """
    await services_of(request).rate_limits.hit("account", body.email.lower())
    signed_in = await better_auth.sign_in(body.email, body.password, caller)
    session = await sessions.open(signed_in, caller)
    services_of(request).security_log.write(Event.LOGIN, request, subject=session.user.id)
    return session


@router.post(
    "/refresh",
    operation_id="refresh",
    summary="Refresh the access token",
    responses={**_ANY, **described_problem(HTTPStatus.UNAUTHORIZED, "The session has ended.")},
)
async def refresh(
    request: Request, body: Refresh, sessions: _Sessions, caller: _Caller
) -> AccessTokenAnswer:
    """Return a new access token for the session of a refresh token.

    The refresh token stays the same until the session ends.
    """
    answer, subject = await sessions.access_token(body.refresh_token, caller)
    services_of(request).security_log.write(Event.REFRESHED, request, subject=subject)
    return answer


@router.post(
    "/logout",
    operation_id="logout",
    summary="Sign out",
    status_code=HTTPStatus.NO_CONTENT,
    responses={**_ANY, **problems(HTTPStatus.UNAUTHORIZED)},
    openapi_extra={"security": [{"AccessToken": []}, {}]},
)
async def logout(
    request: Request,
    sessions: _Sessions,
    caller: _Caller,
    body: Logout | None = None,
) -> None:
    """End a session. Its access tokens are refused from now on.

    Send the access token, the refresh token, or both tokens of the same session. With the refresh
    token, the session ends at Better Auth at once. With the access token alone, Better Auth ends it
    when it is used next.
    """
    refresh_token = None if body is None else body.refresh_token
    if refresh_token is None and "authorization" not in request.headers:
        raise CredentialsMissingError
    if refresh_token is not None:
        _require_accounts(request)
    subject, revoked = None, False
    if "authorization" in request.headers:
        try:
            user = await authenticate(request)
            subject = user.owner.id
            await sessions.revoke(user.token, "logout")
            revoked = True
        except InvalidTokenError:
            # The access token is refused already; the session can still be ended.
            if refresh_token is None:
                raise
    if refresh_token is not None:
        subject = await sessions.end(refresh_token, caller, revoked=revoked) or subject
    services_of(request).security_log.write(Event.LOGGED_OUT, request, subject=subject)
