"""The account API. `me` is answered from the verified token, without asking anybody."""

from http import HTTPStatus
from typing import Final, TypeGuard

from fastapi import APIRouter, Response

from service.accounts.schemas import Me
from service.auth import AuthenticatedRoute, CurrentUser
from service.openapi import problems

router: Final = APIRouter(prefix="/api/auth", tags=["accounts"], route_class=AuthenticatedRoute)


@router.get(
    "/me",
    operation_id="getMe",
    summary="Who am I?",
    responses=problems(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ),
)
async def me(user: CurrentUser, response: Response) -> Me:
    """Tell whom the access token speaks for."""
    response.headers["Cache-Control"] = "no-store"
    claims = user.token.claims
    name, email, verified = claims.get("name"), claims.get("email"), claims.get("emailVerified")
    return Me(
        id=user.owner.id,
        issuer=user.token.issuer,
        name=name if _is_text(name) else None,
        email=email if _is_text(email) else None,
        email_verified=verified if isinstance(verified, bool) else None,
        expires_at=int(user.token.expires_at),
    )


def _is_text(value: object) -> TypeGuard[str]:
    """Tell whether a claim can be written as JSON: one with half a surrogate pair cannot."""
    return isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)
