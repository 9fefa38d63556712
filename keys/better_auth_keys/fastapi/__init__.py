"""Protect a FastAPI app with the tokens of a Better Auth.

For a Better Auth at `https://app.example.com`::

    auth = BetterAuth("https://app.example.com")
    app = FastAPI(lifespan=auth.lifespan)

    @app.get("/me")
    async def me(user: Annotated[User, Depends(auth.user)]) -> str:
        return user.id

`BetterAuth` has one dependency for each kind of route. Refusals are `AuthError`, an HTTPException.
The extra `fastapi` installs what this package needs.
"""

from better_auth_keys.fastapi.better_auth import BetterAuth
from better_auth_keys.fastapi.dependencies import CurrentUser, OptionalUser, Requirement
from better_auth_keys.fastapi.errors import AuthError
from better_auth_keys.fastapi.user import TokenVerifier, User
from better_auth_keys.rights import Organization

__all__ = [
    "AuthError",
    "BetterAuth",
    "CurrentUser",
    "OptionalUser",
    "Organization",
    "Requirement",
    "TokenVerifier",
    "User",
]
