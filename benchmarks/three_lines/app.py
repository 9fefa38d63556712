"""The app that is measured: `/open` without authentication, `/user` with it, `/empty` between."""

import os
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI

from better_auth_keys.fastapi import BetterAuth, User

auth = BetterAuth(os.environ["ISSUER"])
app = FastAPI(lifespan=auth.lifespan)


@app.get("/open")
async def without_authentication() -> str:
    """Return a text, as `/user` does."""
    return "alice"


async def nothing() -> str:
    """Return a text: what FastAPI itself takes for a dependency."""
    return "alice"


@app.get("/empty")
async def with_an_empty_dependency(user: Annotated[str, Depends(nothing)]) -> str:
    """Return a text, as `/user` does."""
    return user


@app.get("/user")
async def me(user: Annotated[User, Depends(auth.user)]) -> str:
    """Return who the token is for."""
    return user.id


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning", access_log=False)
