"""`BetterAuth`, where a real server cannot be made to fail at the right moment."""

import httpx
import pytest

from service.accounts.errors import IssuerUnavailableError
from service.accounts.issuer_client import BetterAuth, Caller


async def test_connection_that_is_gone_as_soon_as_it_is_made_means_unavailable() -> None:
    def gone(_: httpx.Request) -> httpx.Response:
        # What anyio 4.16 raises on uvloop; seen once when a web app was killed under 50 sign-ins.
        raise AttributeError("'NoneType' object has no attribute 'getpeername'")

    better_auth = BetterAuth(
        "http://localhost:3000",
        origin="http://localhost:3000",
        ca_file=None,
        budget=5,
        transport=httpx.MockTransport(gone),
    )
    with pytest.raises(IssuerUnavailableError):
        await better_auth.sign_in("ada@example.com", "secret", Caller("::1", "test", "login"))
    await better_auth.close()
