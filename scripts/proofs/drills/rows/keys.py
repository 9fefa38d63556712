"""Drills of the issuer's keys: an outage at start, two publications at once, and a replaced key."""

import asyncio
import json
import secrets
from http import HTTPStatus
from typing import Final

from better_auth_keys import Signer
from better_auth_keys.rotation.better_auth.secrets import IssuerSecrets
from scripts.proofs.drills.drill import Drill, Seen
from scripts.proofs.drills.system.service import Service
from scripts.proofs.drills.system.stage import Stage
from scripts.proofs.drills.system.traffic import milliseconds
from scripts.proofs.drills.system.waiting import until

_TOKENS: Final = 60
_ACCEPTED_SECONDS: Final = 5.0
_FORGED: Final = 500
_FETCHES: Final = 5
"""The most fetches of keys that these bad signatures may cause."""
_AT_ONCE: Final = 2
# As `getMigrations` of Better Auth creates it.
_KEY_TABLE: Final = """
CREATE TABLE IF NOT EXISTS auth.jwks (
    id text NOT NULL PRIMARY KEY,
    "publicKey" text NOT NULL,
    "privateKey" text NOT NULL,
    "createdAt" timestamptz NOT NULL,
    "expiresAt" timestamptz,
    alg text,
    crv text
)
"""
_INSERT_KEY: Final = """
INSERT INTO auth.jwks (id, "publicKey", "privateKey", "createdAt", alg, crv)
VALUES ($1, $2, $3, now() - interval '60 days', $4, $5)
"""


async def issuer_is_down(stage: Stage) -> Seen:
    """Start a service, and kill a worker, while the issuer is down. Tokens are still accepted."""
    seen = Seen()
    cache = stage.folder / "keys"
    await asyncio.to_thread(cache.mkdir, 0o700)
    settings = {"KEY_CACHE": str(cache), "WEB_CONCURRENCY": "2"}
    async with stage.service(settings) as service:
        seen.require(await _refused(stage, service) == 0, "refused while the issuer is up")
        await stage.issuer.stop()
        service.workers()[0].kill()
        await until(lambda: _has_workers(service, 2), "no new worker")
        refused = await _refused(stage, service)
        seen.require(not refused, f"{refused} of {_TOKENS} refused after a worker's restart")
    async with stage.service(settings) as service:
        again = await _refused(stage, service)
        seen.require(not again, f"{again} of {_TOKENS} refused after the service's restart")
    seen.fact(f"{3 * _TOKENS - refused - again} of {3 * _TOKENS} good tokens accepted")
    seen.requests += 3 * _TOKENS
    return seen


async def _has_workers(service: Service, number: int) -> bool:
    return len(service.workers()) == number


async def _refused(stage: Stage, service: Service) -> int:
    """Send good tokens on connections of their own; return how many are not accepted."""
    asked = [
        service.ask("GET", "/api/tasks", token=stage.issuer.token(f"user-{number}"))
        for number in range(_TOKENS)
    ]
    answers = await asyncio.gather(*asked)
    return sum(each is None or each.status != HTTPStatus.OK for each in answers)


async def replaced_key(stage: Stage) -> Seen:
    """Replace a key by another one with the same id, and send many bad signatures."""
    seen = Seen()
    issuer = stage.issuer
    old = issuer.signers[-1]
    async with stage.service() as service:
        seen.require(await _refused(stage, service) == 0, "refused before the change")
        new = Signer.generate("EdDSA", kid=old.kid)
        issuer.signers[-1] = new
        token = issuer.token("user-of-the-new-key")

        async def accepted() -> bool:
            seen.requests += 1
            answer = await service.must_answer("GET", "/api/tasks", token=token)
            return answer.status == HTTPStatus.OK

        took = await until(accepted, "the new key is refused", seconds=60)
        seen.require(took < _ACCEPTED_SECONDS, f"accepted after {milliseconds(took)}")
        before = issuer.fetches
        loop = asyncio.get_running_loop()
        began = loop.time()
        forged = issuer.token("user-forged", signer=Signer.generate("EdDSA", kid=old.kid))
        for _ in range(_FORGED):
            answer = await service.must_answer("GET", "/api/tasks", token=forged)
            wrong = answer.status not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}
            seen.require(not wrong, f"a bad signature: {answer.status}")
        fetches = issuer.fetches - before
        most = _FETCHES + int(loop.time() - began)
        seen.require(fetches <= most, f"{fetches} fetches for {_FORGED} bad signatures")
        # From the same address, which has sent more invalid tokens than are verified for one.
        answer = await service.must_answer("GET", "/api/tasks", token=token)
        seen.require(answer.status == HTTPStatus.OK, f"a token verified before: {answer.status}")
    seen.fact(f"accepted after {milliseconds(took)}")
    seen.fact(f"{fetches} fetches for {_FORGED} bad signatures")
    seen.requests += _FORGED + _TOKENS
    return seen


async def published_twice(stage: Stage) -> Seen:
    """Run `rotate-keys publish` twice at once. There is one new key, and both succeed."""
    seen = Seen()
    secret = secrets.token_urlsafe(32)
    settings = {
        "AUTH_DATABASE_URL": stage.url("auth"),
        "DATABASE_URL": stage.url("app"),
        "BETTER_AUTH_URL": stage.issuer.url,
        "BETTER_AUTH_SECRET": secret,
        "JWKS_GRACE_PERIOD": "30d",
    }
    await stage.database.execute(_KEY_TABLE, "ALTER TABLE auth.jwks OWNER TO auth")
    async with stage.database.session() as connection:
        await connection.exec_driver_sql(_INSERT_KEY, _key_of(Signer.generate("EdDSA"), secret))
    command = ("rotate_keys.command", "publish", "--execute", "--json")
    try:
        publications = [stage.operate(*command, **settings) for _ in range(_AT_ONCE)]
        codes = [code for code, _ in await asyncio.gather(*publications)]
        code, text = await stage.operate("rotate_keys.command", "status", "--json", **settings)
    finally:
        await stage.database.execute("DROP TABLE auth.jwks")
    keys = json.loads(text)["keys"] if code == 0 else []
    seen.require(codes == [0] * _AT_ONCE, f"exit codes {codes}")
    new = len(keys) - 1  # one signs
    seen.require(new == 1, f"{new} new keys")
    seen.fact(f"{_AT_ONCE} at once: exit codes {codes}, {new} new key")
    return seen


def _key_of(signer: Signer, secret: str) -> tuple[str, ...]:
    """Return the row of a key that signs, as Better Auth writes it."""
    private, public = signer.private_jwk(), signer.public_jwk()
    for jwk in (private, public):
        del jwk["kid"], jwk["alg"]
    sealed = IssuerSecrets(secret).seal(private)
    return signer.kid, json.dumps(public), sealed, signer.algorithm, str(public["crv"])


DRILLS: Final = (
    Drill(
        (81,),
        "a restart while the issuer is down",
        "it uses the last good key set, from a file",
        issuer_is_down,
    ),
    Drill((89,), "two rotate-keys publish at once", "one new key", published_twice),
    Drill(
        (90,),
        "a new key under a known key id",
        "found by one fetch within the cool-down, instead of refused for 300 s",
        replaced_key,
    ),
)
