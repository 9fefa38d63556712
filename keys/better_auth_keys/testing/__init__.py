"""Test an app that verifies Better Auth's tokens, without a Better Auth.

`Issuer` signs tokens, rotates its keys, and can be down or slow, all in the process of the test::

    issuer = Issuer()
    async with issuer.verifier() as verifier:
        token = await verifier.verify(issuer.token("alice"))

`HttpIssuer` is the same over HTTP on the loopback interface. `as_user` replaces the user of a
FastAPI app. `plugin` has fixtures of these for pytest. `python -m better_auth_keys.testing.check`
tests any server from outside.
"""

from better_auth_keys.testing.claims import LIFETIME
from better_auth_keys.testing.http_issuer import HttpIssuer
from better_auth_keys.testing.issuer import Issuer, jwks_of
from better_auth_keys.testing.loopback import LoopbackServer
from better_auth_keys.testing.overrides import as_user
from better_auth_keys.testing.replies import Gate, Reply, Request

__all__ = [
    "LIFETIME",
    "Gate",
    "HttpIssuer",
    "Issuer",
    "LoopbackServer",
    "Reply",
    "Request",
    "as_user",
    "jwks_of",
]
