"""Two algorithms and pinned keys on the real Better Auth: nothing signs that was not published."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
import pytest

from better_auth_keys.key_sets.remote import RemoteKeySet
from better_auth_keys.tokens.claims import AccessToken
from better_auth_keys.tokens.policy import VerificationPolicy
from better_auth_keys.tokens.verifier import AccessTokenVerifier
from scripts.setup.checkout import VENV
from scripts.setup.node_runtime import find_node
from tests.conftest import DatabaseUrls
from tests.end_to_end.conftest import ROOT
from tests.simulators.jwks_table import SECRET, connected

pytestmark = pytest.mark.slow

ALGORITHMS = ("EdDSA", "ES256", "RS256")


@dataclass
class RealIssuer:
    """A running Better Auth, and an operator of its keys."""

    origin: str
    urls: DatabaseUrls
    environment: dict[str, str]
    published: set[str] = field(default_factory=set)
    """The kids that it has served for as long as `--publish-ahead` wants."""

    def rotate(self, *arguments: str, expect: int = 0) -> str:
        """Run rotate-keys; return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "scripts.operations.rotate_keys.command", *arguments],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == expect, done.stderr
        return done.stdout + done.stderr

    def publish(self, algorithm: str) -> str:
        """Publish a key, and let the time pass until it may sign."""
        said = self.rotate("publish", "--algorithm", algorithm, "--execute", "--json")
        kid = str(json.loads(said.partition("\n")[0])["steps"][0]["kid"])
        assert kid in self.served()
        self.pass_time(timedelta(minutes=16))
        self.published.add(kid)
        return kid

    def pass_time(self, span: timedelta) -> None:
        """Move all recorded events into the past."""

        async def move() -> None:
            async with connected(self.urls.owner) as connection:
                await connection.execute(
                    "UPDATE public.signing_key_events SET at = at - $1::interval", span
                )
            async with connected(self.urls.auth) as connection:
                await connection.execute(
                    'UPDATE jwks SET "createdAt" = "createdAt" - $1::interval,'
                    ' "expiresAt" = "expiresAt" - $1::interval',
                    span,
                )

        asyncio.run(move())

    def served(self) -> set[str]:
        """Return the kids of its key set."""
        answer = httpx.get(f"{self.origin}/api/auth/jwks", trust_env=False)
        return {key["kid"] for key in answer.json()["keys"]}

    def sign(self, *, algorithm: str | None = None, kid: str | None = None) -> str:
        """Sign a token, with an optional pin. Return its kid, or the reason for a refusal.

        A verifier must accept the token with the keys that were published before.
        """
        pins = {"signingAlgorithm": algorithm, "signingKeyId": kid}
        body = {name: pin for name, pin in pins.items() if pin is not None}
        answer = httpx.post(f"{self.origin}/api/auth/sign", json=body, trust_env=False, timeout=30)
        found = answer.raise_for_status().json()
        if "refused" in found:
            return str(found["refused"])
        token = asyncio.run(self._verified(found["token"]))
        assert token.key_id in self.published, "signed with a key that nobody could know"
        return token.key_id

    async def _verified(self, token: str) -> AccessToken:
        policy = VerificationPolicy(
            issuers=frozenset({self.origin}),
            audiences=frozenset({self.origin}),
            algorithms=frozenset(ALGORITHMS),
        )
        keys = RemoteKeySet(f"{self.origin}/api/auth/jwks", algorithms=policy.algorithms)
        verifier = AccessTokenVerifier(keys, policy)
        async with verifier:
            return await verifier.verify(token)


@contextmanager
def real_better_auth(urls: DatabaseUrls, algorithms: str) -> Iterator[RealIssuer]:
    node = find_node(VENV)
    assert node is not None
    environment = {
        "AUTH_DATABASE_URL": urls.auth,
        "DATABASE_URL": urls.app,
        "BETTER_AUTH_SECRET": SECRET,
        "JWKS_GRACE_PERIOD": "30d",
        "SIGNING_ALGORITHM": algorithms,
    }
    script = ROOT / "tests/simulators/real_better_auth.mjs"
    with subprocess.Popen(
        [node.node, script, ROOT / "web", algorithms],
        env=node.environment({**os.environ, **environment}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            origin = process.stdout.readline().strip()
            assert origin.startswith("http://127.0.0.1:")
            issuer = RealIssuer(origin, urls, {**environment, "BETTER_AUTH_URL": origin})
            issuer.published = issuer.served()
            yield issuer
        finally:
            process.stdin.close()
            process.wait(30)


@pytest.fixture
def issuer(issuer_database: DatabaseUrls) -> Iterator[RealIssuer]:
    with real_better_auth(issuer_database, "EdDSA,ES256") as running:
        yield running


def test_each_algorithm_is_rotated_and_every_pin_goes_on_with_a_published_key(
    issuer: RealIssuer,
) -> None:
    (eddsa,) = issuer.served()
    es256 = issuer.publish("ES256")
    assert issuer.sign() == eddsa
    issuer.rotate("activate", "--algorithm", "ES256", "--execute")
    keys = {"EdDSA": eddsa, "ES256": es256}

    def assert_pins_hold() -> None:
        assert issuer.sign() == keys["EdDSA"]
        for name, kid in keys.items():
            assert issuer.sign(algorithm=name) == kid

    assert_pins_hold()
    for algorithm in ("EdDSA", "ES256"):
        old, new = keys[algorithm], issuer.publish(algorithm)
        assert_pins_hold()
        issuer.rotate("activate", "--algorithm", algorithm, "--execute")
        keys[algorithm] = new
        assert_pins_hold()
        issuer.rotate("retire", "--execute")
        assert_pins_hold()
        assert old in issuer.served()
        issuer.pass_time(timedelta(hours=26))
        assert f"pruned  {old}" in issuer.rotate("run", "--execute")
        assert_pins_hold()
        assert issuer.served() == set(keys.values())


def test_pinned_key_signs_on_through_rotations(issuer: RealIssuer) -> None:
    (pinned,) = issuer.served()
    issuer.environment["PINNED_KEYS"] = pinned
    for nothing_due in (True, False):
        new = issuer.publish("EdDSA")
        issuer.rotate("activate", "--execute")
        issuer.pass_time(timedelta(hours=26))
        issuer.rotate("retire", "--execute", expect=3 if nothing_due else 0)
        assert issuer.sign() == issuer.sign(algorithm="EdDSA") == new
        assert issuer.sign(kid=pinned) == pinned
    assert "is pinned (PINNED_KEYS)" in issuer.rotate("retire", pinned, "--execute", expect=1)
    issuer.environment["PINNED_KEYS"] = ""
    issuer.rotate("retire", pinned, "--execute")
    assert "requested signing key is expired" in issuer.sign(kid=pinned)


def test_change_of_algorithm_moves_what_is_signed_by_default_and_then_ends_the_old_one(
    issuer: RealIssuer,
) -> None:
    (eddsa,) = issuer.served()
    es256 = issuer.publish("ES256")
    issuer.rotate("activate", "--algorithm", "ES256", "--execute")
    assert (issuer.sign(), issuer.sign(algorithm="ES256")) == (eddsa, es256)
    with real_better_auth(issuer.urls, "ES256") as changed:
        changed.published = issuer.published
        assert changed.sign() == es256
        changed.rotate("activate", "--replaces", "EdDSA", "--execute")
        assert changed.sign() == changed.sign(algorithm="ES256") == es256
        # No key replaces it if web/ no longer lists its algorithm.
        assert 'no key with alg "EdDSA" found' in changed.sign(algorithm="EdDSA")
        assert changed.served() == {eddsa, es256}
    # A process that was not restarted yet also signs with the new key by default.
    assert issuer.sign() == es256
