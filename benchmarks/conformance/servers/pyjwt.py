"""PyJWT in a dependency, as FastAPI's tutorial on JWTs has it, with PyJWT's own `PyJWKClient`."""

from http import HTTPStatus
from typing import Annotated

import jwt  # type: ignore[import-not-found] # installed for the comparison alone
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer

from benchmarks.conformance.servers.settings import ISSUER, JWKS_URL

keys = jwt.PyJWKClient(JWKS_URL)
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="token")
app = FastAPI()


# Not async: PyJWKClient fetches keys synchronously, so FastAPI runs this in a thread.
def get_current_user(token: Annotated[str, Depends(oauth2_scheme)]) -> str:
    """Return the id of the current user."""
    try:
        payload = jwt.decode(
            token,
            keys.get_signing_key_from_jwt(token),
            algorithms=["EdDSA"],
            audience=ISSUER,
            issuer=ISSUER,
        )
        subject = payload.get("sub")
    except jwt.PyJWTError:
        subject = None
    if subject is None:
        raise HTTPException(
            HTTPStatus.UNAUTHORIZED,
            "Could not validate credentials",
            {"WWW-Authenticate": "Bearer"},
        )
    return str(subject)


@app.get("/me")
async def me(user: Annotated[str, Depends(get_current_user)]) -> str:
    """Return the id of the current user."""
    return user
