"""fastapi-better-auth-bridge, as the quick start of its README has it (mode B)."""

from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi_better_auth import (  # type: ignore[import-not-found] # installed for the comparison alone
    BetterAuth,
    JwtVerifier,
    Session,
    User,
)

from benchmarks.conformance.servers.settings import ISSUER

auth = BetterAuth(verifiers=[JwtVerifier(base_url=ISSUER)])
CurrentSession = Annotated[  # type: ignore[no-any-unimported] # likewise
    Session[User], Depends(auth.current_session())
]
app = FastAPI()


@app.get("/me")
async def me(session: CurrentSession) -> User:  # type: ignore[no-any-unimported] # likewise
    """Return the current user."""
    return session.user
