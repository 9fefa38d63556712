"""How long a revoked key's token is accepted without a `RevocationFeed`: what README states."""

from pathlib import Path

import pytest

import better_auth_keys
from better_auth_keys import (
    AccessTokenVerifier,
    InvalidTokenError,
    Reason,
    RefreshPolicy,
    RemoteKeySet,
    Signer,
)
from tests.keys.signed_tokens import NOW, POLICY, claims
from tests.simulators.clock import ManualClock, eventually
from tests.simulators.jwks_server import JwksServer

README = (Path(better_auth_keys.__file__).parents[1] / "README.md").read_text()


class LateClock(ManualClock):
    """A clock with which every fetch happens as late as it can."""

    def jitter(self, low: float, high: float) -> float:
        return max(low, high)


async def reason(verifier: AccessTokenVerifier, token: str) -> Reason | None:
    try:
        await verifier.verify(token)
    except InvalidTokenError as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    ("policy", "headers", "window"),
    [
        (RefreshPolicy(), {}, 270),
        (RefreshPolicy(default_lifetime=30), {}, 27),
        (RefreshPolicy(), {"Cache-Control": "max-age=60"}, 54),
        (RefreshPolicy(), {"Cache-Control": "max-age=86400"}, 3240),
    ],
    ids=["default", "shortened", "max-age", "longest max-age"],
)
async def test_row41_removed_key_is_accepted_until_the_next_fetch(
    server: JwksServer,
    signer: Signer,
    policy: RefreshPolicy,
    headers: dict[str, str],
    window: int,
) -> None:
    server.publish(signer, **headers)
    clock = LateClock()
    key_set = RemoteKeySet(server.url, policy=policy, clock=clock)
    token = signer.mint(claims())
    async with AccessTokenVerifier(key_set, POLICY, now=lambda: float(NOW)) as verifier:
        await eventually(lambda: key_set.status().state == "fresh")
        assert await reason(verifier, token) is None
        server.publish(Signer.generate(), **headers)  # the key was revoked right after the fetch
        clock.advance(window - 1)
        assert await reason(verifier, token) is None
        assert key_set.status().fetches == 1
        clock.advance(1)
        await eventually(lambda: signer.kid not in key_set.status().kids)
        clock.advance(policy.cool_down)
        assert await reason(verifier, token) is Reason.UNKNOWN_KEY
    assert f"{window:,} seconds" in README


async def test_row42_removed_key_is_accepted_for_a_day_while_the_issuer_cannot_be_reached(
    server: JwksServer, signer: Signer
) -> None:
    clock = LateClock()
    key_set = RemoteKeySet(server.url, clock=clock)
    token = signer.mint(claims())
    async with AccessTokenVerifier(key_set, POLICY, now=lambda: float(NOW)) as verifier:
        await eventually(lambda: key_set.status().state == "fresh")
        await server.stop()
        clock.advance(24 * 3600)
        assert await reason(verifier, token) is None
        clock.advance(RefreshPolicy().default_lifetime + 1)
        assert key_set.status().state == "unavailable"
    assert "`stale_window` (24 hours)" in README
