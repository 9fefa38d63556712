"""The account API. `me` is answered from the verified token, without asking anybody."""

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Response

from service.accounts.schemas import Me
from service.auth import CurrentUser
from service.openapi import problems

router: Final = APIRouter(prefix="/api/auth", tags=["accounts"])


@router.get(
    "/me",
    operation_id="getMe",
    summary="Who am I?",
    responses=problems(
        HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE
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
        name=name if isinstance(name, str) else None,
        email=email if isinstance(email, str) else None,
        email_verified=verified if isinstance(verified, bool) else None,
        expires_at=int(user.token.expires_at),
    )
