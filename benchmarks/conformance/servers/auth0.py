"""auth0-fastapi-api, as its README has it. It requires https, discovery and RS256."""

from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi_plugin import (  # type: ignore[import-not-found] # installed for the comparison alone
    Auth0FastAPI,
)

from benchmarks.conformance.servers.settings import ISSUER

domain = ISSUER.removeprefix("https://").rstrip("/")
auth0 = Auth0FastAPI(domain=domain, audience=ISSUER)
app = FastAPI()


@app.get("/me")
async def me(claims: Annotated[dict[str, Any], Depends(auth0.require_auth())]) -> str:
    """Return the id of the current user."""
    return str(claims["sub"])
