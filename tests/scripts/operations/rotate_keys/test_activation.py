"""`rotate-keys` activates no key that the issuer or a replica could not use."""

import asyncio
import json

import pytest

from better_auth_keys.testing import HttpIssuer, Reply
from scripts.operations.rotate_keys.target import Served
from tests.conftest import DatabaseUrls
from tests.scripts.operations.rotate_keys.commands import (
    DAY,
    FORCE,
    Rotate,
    do,
    pass_a_second,
    report,
)
from tests.simulators.jwks_table import Issuer


def test_key_that_the_issuer_cannot_decrypt_is_not_activated(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    kid = do(issuer.mint_key(age=DAY))
    monkeypatch.setenv("BETTER_AUTH_SECRETS", "2:another-secret-of-the-issuer-01234567")
    new = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]
    monkeypatch.delenv("BETTER_AUTH_SECRETS")
    said = rotate("activate", new, "--execute", *FORCE)
    assert (said.code, "run reencrypt" in said.err) == (1, True)
    assert do(issuer.signs_with()) == kid


def test_key_that_a_replica_does_not_accept_is_not_activated(
    rotate: Rotate, issuer: Issuer, issuer_database: DatabaseUrls
) -> None:
    app, old = issuer_database.app, do(issuer.mint_key(age=DAY))
    spans = ["--learning-time", "1s", "--publish-ahead", "1s", "--wait", "0s"]
    new = rotate("publish", "--execute", "--json").json["steps"][0]["kid"]
    do(pass_a_second(issuer))
    do(report(app, old))
    said = rotate("activate", *spans, "--execute")
    assert (said.code, "replica has not fetched it" in said.err) == (1, True)
    do(report(app, old, new, algorithms="{RS256}"))
    said = rotate("activate", *spans, "--execute")
    assert (said.code, "replica accepts no EdDSA tokens" in said.err) == (1, True)
    assert do(issuer.signs_with()) == old
    do(report(app, old, new))
    assert rotate("activate", *spans, "--execute").code == 0
    assert do(issuer.signs_with()) == new


def test_key_that_the_issuer_does_not_serve_is_not_activated(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = do(issuer.mint_key(age=DAY))
    rotate("publish", "--execute")

    async def nothing(_target: object) -> Served:
        return Served(frozenset())

    monkeypatch.setattr("scripts.operations.rotate_keys.target.Target.served", nothing)
    do(pass_a_second(issuer))
    said = rotate("activate", "--learning-time", "1s", "--publish-ahead", "1s", "--execute")
    assert (said.code, "the issuer does not serve key" in said.err) == (1, True)
    assert do(issuer.signs_with()) == old


async def test_status_warns_of_a_served_key_that_is_unusable(
    rotate: Rotate, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = await issuer.mint_key()
    weak = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "kid": "weak", "alg": "EdDSA"}
    async with HttpIssuer() as server:
        server.reply = Reply(body=json.dumps({"keys": [weak, *await issuer.jwks()]}).encode())
        monkeypatch.setenv("JWKS_URL", server.jwks_url)
        said = await asyncio.to_thread(rotate, "status", "--json")
    assert [(key["kid"], key["served"]) for key in said.json["keys"]] == [(usual, True)]
    assert "the issuer serves an unusable key: weak (weak)" in said.json["warnings"]
