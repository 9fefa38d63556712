"""The library of this repository, in its three lines."""

from typing import Annotated

from fastapi import Depends, FastAPI

from benchmarks.conformance.servers.settings import ISSUER
from better_auth_keys.fastapi import BetterAuth, User

auth = BetterAuth(ISSUER)
app = FastAPI(lifespan=auth.lifespan)


@app.get("/me")
async def me(user: Annotated[User, Depends(auth.user)]) -> str:
    """Return the id of the current user."""
    return user.id
