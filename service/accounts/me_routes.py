"""The current user: what the token says of it, and the deletion of all that this service has of it.

GET is answered from the verified token, without a call to Better Auth or the database. DELETE makes
no call to Better Auth either: the account there is deleted in the web app.
"""

from http import HTTPStatus
from typing import Final, TypeGuard

from fastapi import APIRouter, Request, Response

from service.accounts.schemas import Me
from service.http.openapi import problems
from service.security.audit import Event
from service.security.authentication import WRITE, AuthenticatedRoute, CurrentUser, require_scope
from service.services import services_of
from service.tasks.repository import TaskRepository

router: Final = APIRouter(prefix="/api/auth", tags=["accounts"], route_class=AuthenticatedRoute)


@router.get(
    "/me",
    operation_id="getMe",
    summary="Get the current user",
    response_model=Me,
    responses=problems(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
async def me(user: CurrentUser) -> Response:
    """Return the user of the access token, as described by its claims."""
    claims = user.token.claims
    name, email, verified = claims.get("name"), claims.get("email"), claims.get("emailVerified")
    found = Me(
        id=user.owner.id,
        issuer=user.token.issuer,
        name=name if _is_text(name) else None,
        email=email if _is_text(email) else None,
        email_verified=verified if isinstance(verified, bool) else None,
        expires_at=int(user.token.expires_at),
    )
    headers = {"Cache-Control": "no-store"}
    return Response(found.model_dump_json(), headers=headers, media_type="application/json")


@router.delete(
    "/me",
    operation_id="deleteMe",
    summary="Delete the current user's data",
    status_code=HTTPStatus.NO_CONTENT,
    responses=problems(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
async def delete_me(request: Request, user: CurrentUser) -> Response:
    """Delete all of your tasks, and refuse all of your access tokens from now on.

    Your sessions end as well. The account itself is at Better Auth. To delete both, use
    `POST /api/auth/delete-user` of the web app, which also sends this request. To keep a copy of
    your tasks, request all pages of `GET /api/tasks` first: deleted tasks cannot be listed, and are
    erased after 30 days.

    If you get no response, sign in again and repeat the request. With the same token, a repeated
    request gets 401 if the first one was carried out.
    """
    require_scope(user, WRITE)
    services = services_of(request)
    tasks = TaskRepository(services.database, user.owner)
    await services.sessions.delete_user(
        user.owner,
        tasks,
        deleted=lambda: services.security_log.write(Event.DELETED, request, subject=user.owner.id),
    )
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _is_text(value: object) -> TypeGuard[str]:
    """Return whether a claim is text that JSON can hold; a lone surrogate cannot be encoded."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)
