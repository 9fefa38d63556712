"""The apps that are measured: `/open` without authentication, `/user` with it, `/empty` between."""

import os
from typing import Annotated, Final

import uvicorn
from fastapi import Depends, FastAPI
from starlette.types import Receive, Scope, Send

from better_auth_keys.fastapi import BetterAuth, User

auth = BetterAuth(os.environ["ISSUER"])
# An app tries its routes in turn, so each of these has only one of its own.
plain = FastAPI()
empty = FastAPI()
protected = FastAPI(lifespan=auth.lifespan)


@plain.get("/open")
async def without_authentication() -> str:
    """Return a text, as `/user` does."""
    return "alice"


async def nothing() -> str:
    """Return a text: what FastAPI itself takes for a dependency."""
    return "alice"


@empty.get("/empty")
async def with_an_empty_dependency(user: Annotated[str, Depends(nothing)]) -> str:
    """Return a text, as `/user` does."""
    return user


@protected.get("/user")
async def me(user: Annotated[User, Depends(auth.user)]) -> str:
    """Return who the token is for."""
    return user.id


APPS: Final = {"/open": plain, "/empty": empty, "/user": protected}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Call the app that has the path. The lifespan is that of the protected app."""
    called = APPS[scope["path"]] if scope["type"] == "http" else protected
    await called(scope, receive, send)


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning", access_log=False)
